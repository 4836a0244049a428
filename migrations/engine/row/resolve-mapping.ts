import type { SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import { type Finding, refuse } from '../preflight/finding.ts';
import { type ColumnSchema, findColumn, type TableSchema } from '../schema/table-schema.ts';
import { expressionColumns } from './expression-columns.ts';
import type { MappedColumn, RowTransform, TableMapping } from './table-mapping.ts';

export type MappingRequest = {
  slice: string;
  table: SliceTable;
  source: TableSchema;
  target: TableSchema;
  /** What `table.transform` names, loaded. */
  transform: RowTransform | null;
};

/** `draft` is what could be made of a faulty one: good for finding more faults, and for nothing else. */
export type MappingResult =
  | { outcome: 'resolved'; mapping: TableMapping }
  | { outcome: 'faulty'; draft: TableMapping; findings: Finding[] };

/** Checks what a slice file says of a table against both live tables, and spells every name as they do. */
export const resolveMapping = (request: MappingRequest): MappingResult => {
  const { slice, table, source, target, transform } = request;
  const where = `mapping of ${source.name} to ${target.name}`;
  const findings: Finding[] = [];
  const columns = mappedColumns(request, where, findings);
  const key = resolveKey(request, where, findings);
  const targetKey = resolveTargetKey(key, columns, target, where, findings);
  findUnmapped(columns, target, where, findings);
  const needed = new Set([...key, ...columns.flatMap(sourceColumnsOf), ...(transform?.sourceColumns ?? [])]);
  const spelt = new Set([...needed].map((name) => findColumn(source, name)?.name));
  const mapping: TableMapping = {
    slice,
    source: source.name,
    target: target.name,
    key,
    targetKey,
    columns,
    captured: source.columns.filter(({ name }) => spelt.has(name)).map(({ name }) => name),
    transform: table.transform === null ? null : transform,
  };
  return findings.length === 0 ? { outcome: 'resolved', mapping } : { outcome: 'faulty', draft: mapping, findings };
};

const sourceColumnsOf = (column: MappedColumn): readonly string[] =>
  column.from === 'column' ? [column.column] : column.from === 'sql' ? column.columns : [];

const names = (columns: readonly ColumnSchema[]): string => columns.map(({ name }) => name).join(', ');

function mappedColumns(request: MappingRequest, where: string, findings: Finding[]): MappedColumn[] {
  const { table, source, target, transform } = request;
  const written = new Map<string, MappedColumn>();
  const put = (column: MappedColumn) => {
    if (written.has(column.target)) {
      const reason = `the target column ${column.target} is given a value twice`;
      findings.push(
        refuse('column-incompatible', where, reason, 'leave it to either `columns` or `transform`, not both'),
      );
    }
    written.set(column.target, column);
  };
  const transformed = new Set((transform?.targetColumns ?? []).map((name) => name.toLowerCase()));
  const chosen = table.columns ?? sameNames(source, target, transformed);

  for (const [name, from] of Object.entries(chosen)) {
    const column = writableColumn(target, name, where, findings);
    if (typeof from === 'string') {
      const sourceColumn = findColumn(source, from);
      if (sourceColumn === undefined) {
        const reason = `expected a column ${from} in ${source.name}, found ${names(source.columns)}`;
        findings.push(refuse('column-missing', where, reason, `name one of these for ${name} in the slice file`));
      } else if (column !== undefined) put({ target: column.name, from: 'column', column: sourceColumn.name });
    } else if (column !== undefined) {
      put({ target: column.name, from: 'sql', sql: from.sql, columns: expressionColumns(from.sql, source) });
    }
  }
  for (const name of transform?.targetColumns ?? []) {
    const column = writableColumn(target, name, where, findings);
    if (column !== undefined) put({ target: column.name, from: 'transform' });
  }
  for (const name of transform?.sourceColumns ?? []) {
    if (findColumn(source, name) !== undefined) continue;
    const reason = `the transform reads ${name}, and ${source.name} has ${names(source.columns)}`;
    findings.push(refuse('column-missing', where, reason, "correct the transform's sourceColumns"));
  }
  return target.columns.flatMap(({ name }) => written.get(name) ?? []);
}

/** Each target column that can be written with the source column of its name. */
const sameNames = (source: TableSchema, target: TableSchema, except: ReadonlySet<string>): Record<string, string> =>
  Object.fromEntries(
    target.columns
      .filter(({ name, generated }) => generated === null && !except.has(name.toLowerCase()))
      .filter(({ name }) => findColumn(source, name) !== undefined)
      .map(({ name }) => [name, name]),
  );

function writableColumn(
  target: TableSchema,
  name: string,
  where: string,
  findings: Finding[],
): ColumnSchema | undefined {
  const column = findColumn(target, name);
  if (column === undefined) {
    const reason = `expected a column ${name} in ${target.name}, found ${names(target.columns)}`;
    findings.push(refuse('column-missing', where, reason, 'add it to the target, or take it out of the slice file'));
    return undefined;
  }
  if (column.generated === null) return column;
  const reason = `${target.name}.${column.name} is generated: the target computes it, and nobody can write it`;
  findings.push(refuse('column-generated', where, reason, 'take it out of the slice file'));
  return undefined;
}

function resolveKey({ table, source }: MappingRequest, where: string, findings: Finding[]): readonly string[] {
  const { primaryKey } = source;
  const said = table.key;
  if (primaryKey.length === 0 || said === null) return primaryKey;
  const same = said.length === primaryKey.length && said.every((name, at) => equalNames(name, primaryKey[at]!));
  if (!same) {
    const reason = `expected the source's primary key (${primaryKey.join(', ')}), found (${said.join(', ')})`;
    findings.push(refuse('key-mismatch', where, reason, 'write the primary key, or leave `key` out'));
  }
  return primaryKey;
}

/** A row of the target is found by the columns that the source's key goes to, so they must be unique there. */
function resolveTargetKey(
  key: readonly string[],
  columns: readonly MappedColumn[],
  target: TableSchema,
  where: string,
  findings: Finding[],
): readonly string[] {
  const targetKey = key.flatMap((name) => {
    const column = columns.find((one) => one.from === 'column' && one.column === name);
    if (column !== undefined) return [column.target];
    const reason = `the key column ${name} goes to no target column as it is, so no row could be found again`;
    findings.push(refuse('key-mismatch', where, reason, `add a target column that takes ${name} alone`));
    return [];
  });
  if (targetKey.length !== key.length || key.length === 0) return targetKey;
  const wanted = [...targetKey].sort().join('\n');
  const unique = [{ columns: target.primaryKey, exact: true }, ...target.uniqueKeys].some(
    (one) => one.exact && [...one.columns].sort().join('\n') === wanted,
  );
  if (!unique) {
    const reason = `${target.name} has no primary or unique key of exactly (${targetKey.join(', ')})`;
    findings.push(refuse('key-mismatch', where, reason, 'give the target one: rows are found by it'));
  }
  for (const name of targetKey) {
    if (!findColumn(target, name)!.nullable) continue;
    const reason = `${target.name}.${name} is part of the key and may be NULL`;
    findings.push(refuse('key-mismatch', where, reason, 'make it NOT NULL'));
  }
  return targetKey;
}

function findUnmapped(columns: readonly MappedColumn[], target: TableSchema, where: string, findings: Finding[]): void {
  for (const { name, generated, hasDefault } of target.columns) {
    if (generated !== null || hasDefault || columns.some((column) => column.target === name)) continue;
    const reason = `${target.name}.${name} is NOT NULL, has no default, and nothing is mapped to it`;
    findings.push(refuse('column-unmapped', where, reason, 'map something to it, or give it a default'));
  }
}

const equalNames = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();
