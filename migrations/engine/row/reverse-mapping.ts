import { type Finding, refuse, warn } from '../preflight/finding.ts';
import { findColumn, type TableSchema } from '../schema/table-schema.ts';
import type { MappedColumn, RowTransform, TableMapping } from './table-mapping.ts';

export type ReverseRequest = {
  /** Of the pipe that flows back. */
  slice: string;
  mapping: TableMapping;
  /** As in `mapping`: the monolith's table, and the service's. */
  source: TableSchema;
  target: TableSchema;
};

/** The mapping by which rows of the service's table become rows of the monolith's. */
export type ReverseResult = {
  mapping: TableMapping;
  /** While one of them is a refusal, the mapping is good for nothing but finding more faults. */
  findings: Finding[];
};

/**
 * Turns a mapping round. A column that was taken as it is goes back as it is; what the transform made goes back through
 * its inverse; what an SQL expression computed is left out, for the monolith has what it was computed from. Columns of the
 * monolith's that are given nothing keep their values, and take their defaults in new rows.
 */
export const reverseMapping = ({ slice, mapping, source, target }: ReverseRequest): ReverseResult => {
  const where = `mapping of ${target.name} back to ${source.name}`;
  const findings: Finding[] = [];
  const given = givenBack(mapping, source, where, findings);
  const columns = source.columns.flatMap(({ name }) => given.get(name) ?? []);
  const transform = columns.some(({ from }) => from === 'transform') ? turned(mapping.transform) : null;
  const key = target.primaryKey;
  const needed = new Set([
    ...key,
    ...columns.flatMap((column) => (column.from === 'column' ? [column.column] : [])),
    ...(transform?.sourceColumns ?? []).map((name) => findColumn(target, name)?.name ?? name),
  ]);
  const reversed: TableMapping = {
    slice,
    source: target.name,
    target: source.name,
    key,
    targetKey: reverseKey(mapping, source, target, where, findings),
    columns,
    captured: target.columns.filter(({ name }) => needed.has(name)).map(({ name }) => name),
    transform,
  };
  findings.push(...ungiven(mapping, source, given, where));
  return { mapping: reversed, findings };
};

/** Column of the monolith's → where its value comes from, by the name as its table spells it. */
function givenBack(
  mapping: TableMapping,
  source: TableSchema,
  where: string,
  findings: Finding[],
): Map<string, MappedColumn> {
  const given = new Map<string, MappedColumn>();
  const writable = (name: string) => {
    const column = findColumn(source, name);
    return column?.generated === null ? column.name : undefined;
  };
  for (const name of mapping.transform?.sourceColumns ?? []) {
    const column = writable(name);
    if (column !== undefined) given.set(column, { target: column, from: 'transform' });
  }
  const copies = new Map<string, string[]>();
  for (const column of mapping.columns) {
    if (column.from !== 'column') continue;
    const name = writable(column.column);
    if (name !== undefined) copies.set(name, [...(copies.get(name) ?? []), column.target]);
  }
  for (const [name, from] of copies) {
    // Of the transform's, too, what is there as it is needs no inverse.
    const [chosen, ...others] = [...from].sort((a, b) => rank(mapping, name, a) - rank(mapping, name, b));
    given.set(name, { target: name, from: 'column', column: chosen as string });
    if (others.length === 0) continue;
    const reason = `${name} is taken back from ${chosen}; what the service writes to ${others.join(', ')} alone does not come back`;
    findings.push(warn('column-unmapped', where, reason, `let the service write ${from.join(' and ')} alike`));
  }
  return given;
}

/** Of several copies of a column, that of the key comes first, then the one of the same name. */
const rank = ({ key, targetKey }: TableMapping, name: string, copy: string): number => {
  const at = key.indexOf(name);
  if (at >= 0 && targetKey[at] === copy) return 0;
  return copy.toLowerCase() === name.toLowerCase() ? 1 : 2;
};

const turned = (transform: RowTransform | null): RowTransform | null =>
  transform === null
    ? null
    : {
        sourceColumns: transform.targetColumns,
        targetColumns: transform.sourceColumns,
        toTarget: (row) => transform.toSource(row),
        toSource: (row) => transform.toTarget(row),
      };

/** The columns of the monolith's that the service's primary key goes to; they find one row there. */
function reverseKey(
  { key, targetKey }: TableMapping,
  source: TableSchema,
  target: TableSchema,
  where: string,
  findings: Finding[],
): readonly string[] {
  if (target.primaryKey.length === 0) return [];
  const back = target.primaryKey.flatMap((name) => {
    const at = targetKey.indexOf(name);
    return at < 0 ? [] : [key[at] as string];
  });
  if (back.length !== target.primaryKey.length || back.length !== key.length) {
    const reason = `the primary key of ${target.name} (${target.primaryKey.join(', ')}) is not what the key of ${source.name} (${key.join(', ')}) goes to (${targetKey.join(', ')}), so no row could be found again`;
    findings.push(refuse('key-mismatch', where, reason, `make (${targetKey.join(', ')}) the primary key`));
  }
  for (const name of back) {
    if (findColumn(source, name)?.generated == null) continue;
    const reason = `the key column ${source.name}.${name} is generated: no row could be added`;
    findings.push(refuse('key-mismatch', where, reason, 'leave the slice on the monolith, or change its key'));
  }
  return back;
}

/** What of the monolith's table is given nothing, where that matters. */
function ungiven(
  mapping: TableMapping,
  source: TableSchema,
  given: ReadonlyMap<string, MappedColumn>,
  where: string,
): Finding[] {
  const computedFrom = new Map<string, string>();
  for (const column of mapping.columns) {
    if (column.from === 'sql') for (const name of column.columns) computedFrom.set(name, column.target);
  }
  return source.columns.flatMap(({ name, generated, hasDefault }) => {
    if (generated !== null || given.has(name)) return [];
    if (!hasDefault) {
      const reason = `${source.name}.${name} is NOT NULL, has no default, and nothing of ${mapping.target} gives it a value: a row that the service adds could not come back`;
      return [
        refuse('column-unmapped', where, reason, `map ${name} to a column of the service's, or give it a default`),
      ];
    }
    const computed = computedFrom.get(name);
    if (computed === undefined) {
      const reason = `nothing of ${mapping.target} goes to ${source.name}.${name}: rows that the service changes keep what it was, and new ones take its default`;
      const remedy = `map ${name}, if anything that stays with the monolith reads it`;
      return [warn('column-unmapped', where, reason, remedy)];
    }
    const reason = `${mapping.target}.${computed} is computed from ${source.name}.${name}, which nothing gives back: what the service writes to it does not come back`;
    return [warn('column-unmapped', where, reason, `map ${name} too, if the service ever changes ${computed}`)];
  });
}
