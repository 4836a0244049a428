import type { MappedTable } from '../apply/row-shape.ts';
import { reverseTables } from '../pipe/reverse-tables.ts';
import { readServer } from '../schema/read-server.ts';
import { checkCollations } from './check-collations.ts';
import type { End } from './check-expressions.ts';
import { checkSourceAccount, checkSourceTable, checkTargetAccount } from './check-source.ts';
import { checkTargetTable } from './check-target.ts';
import type { Finding } from './finding.ts';
import {
  type PreflightContext,
  type PreflightReport,
  type PreflightRequest,
  resolveTable,
  truncateFindings,
  tryMapping,
} from './preflight.ts';
import { readGrants } from './privileges.ts';

/**
 * Looks at both databases and tells everything that keeps rows of the service's tables from flowing back into the
 * monolith's, for the tables that move; there may be none, where only the ownership of writes does. In the request `source` is the service's database and `target` the monolith's,
 * while `slice` says of its tables what its file says. Changes nothing.
 * @throws ServerUnreachable
 */
export async function preflightReverse({ slice, folder, source, target }: PreflightRequest): Promise<PreflightReport> {
  const service: End = { db: source, server: await readServer(source, 'source') };
  const monolith: End = { db: target, server: await readServer(target, 'target') };
  const forward: PreflightContext = { slice, folder, from: monolith, to: service };
  const findings: Finding[] = [];
  const moving = slice.tables.filter(({ reference }) => !reference);
  const mapped: MappedTable[] = [];
  for (const table of moving) {
    const looked = await resolveTable(table, forward, findings);
    if (looked.resolved === undefined || looked.resolved.outcome === 'faulty') continue;
    mapped.push({
      mapping: looked.resolved.mapping,
      source: looked.source,
      sourceDialect: monolith.server.dialect,
      target: looked.target,
      targetDialect: service.server.dialect,
    });
  }
  const reversed = reverseTables(slice.slice, mapped);
  findings.push(...reversed.findings);
  for (const table of reversed.tables) findings.push(...(await checkTable(table, slice.slice, service, monolith)));
  const names = moving.map((table) => table.target);
  findings.push(...checkSourceAccount(await readGrants(source), service.server, names));
  const written = moving.map((table) => table.source);
  findings.push(...checkTargetAccount(await readGrants(target), monolith.server, written));
  findings.push(...(await truncateFindings(service, names)));
  return { findings, tables: reversed.tables.map(({ mapping, source, target }) => ({ mapping, source, target })) };
}

async function checkTable(
  { mapping, source, target }: MappedTable,
  slice: string,
  service: End,
  monolith: End,
): Promise<Finding[]> {
  const findings = checkSourceTable(source, mapping.captured, slice);
  for (const finding of checkTargetTable(mapping, source, target)) {
    findings.push(finding.rule === 'column-incompatible' ? { ...finding, remedy: sameWidth } : finding);
  }
  if (mapping.targetKey.length !== mapping.key.length || mapping.key.length === 0) return findings;
  findings.push(...(await checkCollations(mapping, source, target, { from: service, to: monolith })));
  for (const finding of await tryMapping({ mapping, source }, service, monolith)) {
    findings.push(finding.rule === 'transform-invalid' ? { ...finding, reason: otherWay(finding.reason) } : finding);
  }
  return findings;
}

const sameWidth =
  "give both columns one type: what the service may write, the monolith's table must be able to take back";

/** A turned transform is tried from the service's rows. */
const otherWay = (reason: string): string =>
  reason.replace('toSource(toTarget(row))', 'toTarget(toSource(row))').replace(/\btoTarget: /, 'toSource: ');
