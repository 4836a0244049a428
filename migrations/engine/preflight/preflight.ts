import type { Slice, SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import { checkTransform } from '../row/check-transform.ts';
import { codecOf, kindOf } from '../row/column-codec.ts';
import { loadTransform } from '../row/load-transform.ts';
import { readSamples } from '../row/read-samples.ts';
import { type MappingResult, resolveMapping } from '../row/resolve-mapping.ts';
import type { RowTransform, TableMapping } from '../row/table-mapping.ts';
import type { Queryable } from '../schema/queryable.ts';
import { readServer } from '../schema/read-server.ts';
import { readTable } from '../schema/read-table.ts';
import { columnOf, type TableSchema } from '../schema/table-schema.ts';
import { checkCollations } from './check-collations.ts';
import { checkExpressions, type End } from './check-expressions.ts';
import { checkRowSize } from './check-row-size.ts';
import { checkSourceAccount, checkSourceTable, checkTargetAccount } from './check-source.ts';
import { checkSpelling } from './check-spelling.ts';
import { checkTargetTable } from './check-target.ts';
import { type Finding, refuse, warn } from './finding.ts';
import { readGrants, whoMayDrop } from './privileges.ts';

export type PreflightRequest = {
  slice: Slice;
  /** The folder in which the slice file stands: its transforms are looked for there. */
  folder: string;
  source: Queryable;
  target: Queryable;
};

/** A table of the slice that could be mapped, with both live tables. */
export type PreflightTable = { mapping: TableMapping; source: TableSchema; target: TableSchema };

export type PreflightReport = {
  /** All at once; while one of them is a refusal nothing may be captured. */
  findings: Finding[];
  tables: PreflightTable[];
};

/** How many rows from either end of a table a transform is tried on. */
const sampleCount = 200;

/**
 * Looks at both databases and tells everything that keeps a slice's tables from being moved. Changes nothing.
 * @throws ServerUnreachable
 */
export async function preflight({ slice, folder, source, target }: PreflightRequest): Promise<PreflightReport> {
  const from: End = { db: source, server: await readServer(source, 'source') };
  const to: End = { db: target, server: await readServer(target, 'target') };
  const report: PreflightReport = { findings: [], tables: [] };
  if (slice.tables.length === 0) {
    const reason = 'expected `tables`, found none: nothing of this slice can be captured';
    report.findings.push(refuse('table-missing', `slice ${slice.slice}`, reason, 'name the tables that move'));
  }
  for (const table of slice.tables) await preflightTable(table, { slice, folder, from, to }, report);
  const sources = slice.tables.map((table) => table.source);
  const targets = slice.tables.map((table) => table.target);
  report.findings.push(...checkSourceAccount(await readGrants(source), from.server, sources));
  report.findings.push(...checkTargetAccount(await readGrants(target), to.server, targets));
  report.findings.push(...(await truncateFindings(from, sources)));
  return report;
}

/** A slice, and both ends as their servers tell of themselves. */
export type PreflightContext = { slice: Slice; folder: string; from: End; to: End };

async function preflightTable(table: SliceTable, context: PreflightContext, report: PreflightReport): Promise<void> {
  const { slice, from, to } = context;
  const { findings } = report;
  const looked = await resolveTable(table, context, findings);
  if (looked.resolved === undefined) {
    if (looked.source !== undefined) findings.push(...checkSourceTable(looked.source, null, slice.slice));
    return;
  }
  const { source, target, resolved } = looked;
  const mapping = resolved.outcome === 'resolved' ? resolved.mapping : resolved.draft;
  if (resolved.outcome === 'resolved') report.tables.push({ mapping, source, target });
  findings.push(
    ...checkSpelling(table, source, target),
    ...checkSourceTable(source, mapping.captured, slice.slice),
    ...checkTargetTable(mapping, source, target),
    ...(await checkCollations(mapping, source, target, { from, to })),
  );
  if (resolved.outcome === 'resolved') findings.push(...(await tryMapping({ mapping, source }, from, to)));
}

type LookedAt =
  | { source: TableSchema | undefined; resolved: undefined }
  | { source: TableSchema; target: TableSchema; resolved: MappingResult };

/** Looks at both live tables and maps one onto the other; what stands in the way is added to `findings`. */
export async function resolveTable(
  table: SliceTable,
  { slice, folder, from, to }: PreflightContext,
  findings: Finding[],
): Promise<LookedAt> {
  const source = await tableAt(from, table.source, 'source', findings);
  const target = await tableAt(to, table.target, 'target', findings);
  const transform = await transformOf(table, folder, findings);
  if (source === undefined || target === undefined || transform === 'unusable') return { source, resolved: undefined };
  const resolved = resolveMapping({ slice: slice.slice, table, source, target, transform });
  if (resolved.outcome === 'faulty') findings.push(...resolved.findings);
  return { source, target, resolved };
}

/** What of a mapping shows only in rows, or in what the servers say to its expressions. */
export async function tryMapping(
  { mapping, source }: Pick<PreflightTable, 'mapping' | 'source'>,
  from: End,
  to: End,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (mapping.captured.some((name) => kindOf(columnOf(source, name)) === undefined)) return [];
  findings.push(...(await checkRowSize(mapping, source, { from, to })));
  findings.push(...(await checkExpressions(mapping, source, from, to)));
  if (mapping.transform !== null) findings.push(...(await tryTransform(mapping, mapping.transform, source, from)));
  return findings;
}

async function tableAt(end: End, name: string, side: string, findings: Finding[]): Promise<TableSchema | undefined> {
  const { database, dialect, account } = end.server;
  const table = await readTable(end.db, { dialect, database, table: name });
  if (table === undefined) {
    const reason = `expected a table ${name}, found none that ${account} may see`;
    const remedy =
      side === 'target'
        ? 'create it there, or correct the slice file'
        : 'correct the slice file, or grant SELECT on it';
    findings.push(refuse('table-missing', `${side} ${database}`, reason, remedy));
  }
  return table;
}

async function transformOf(
  table: SliceTable,
  folder: string,
  findings: Finding[],
): Promise<RowTransform | null | 'unusable'> {
  if (table.transform === null) return null;
  try {
    return await loadTransform(folder, table.transform);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    findings.push(refuse('transform-invalid', `mapping of ${table.source}`, reason, 'correct the module'));
    return 'unusable';
  }
}

async function tryTransform(
  mapping: TableMapping,
  transform: RowTransform,
  source: TableSchema,
  from: End,
): Promise<Finding[]> {
  const { dialect } = from.server;
  const samples = await readSamples(from.db, {
    table: source,
    columns: [...new Set([...mapping.key, ...transform.sourceColumns])],
    dialect,
    count: sampleCount,
  });
  const faults = checkTransform(transform, samples, (column) => codecOf(columnOf(source, column), dialect));
  return faults.map(({ column, expected, found, sample }) => {
    const key = source.primaryKey.map((name) => sample[name] ?? '?').join('/');
    const reason =
      column === ''
        ? `the transform fails on row ${key}: ${found}`
        : `toSource(toTarget(row)) does not give back ${column} of row ${key}: expected ${JSON.stringify(expected)}, found ${found}`;
    return refuse(
      'transform-invalid',
      `mapping of ${mapping.source} to ${mapping.target}`,
      reason,
      'make toSource the inverse of toTarget',
    );
  });
}

export async function truncateFindings({ db, server }: End, tables: readonly string[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const table of tables) {
    const accounts = await whoMayDrop(db, server.database, table, server.account).catch(() => null);
    if (accounts === null) {
      const reason = `which accounts may TRUNCATE ${table} cannot be seen by ${server.account}, and TRUNCATE fires no trigger`;
      findings.push(warn('truncate-possible', `source ${server.database}`, reason, 'see that no application does'));
    } else if (accounts.length > 0) {
      const reason = `TRUNCATE fires no trigger, and these accounts may do it: ${accounts.join(', ')}`;
      findings.push(
        warn(
          'truncate-possible',
          `source ${server.database}.${table}`,
          reason,
          'REVOKE DROP from them until the slice is complete',
        ),
      );
    }
  }
  return findings;
}
