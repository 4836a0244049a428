import type { Slice, SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { retiredName, retiredTablesTable } from '../stages/retired-name.ts';

/**
 * Reference tables of a slice whose copying has ended: another slice has moved them and is complete, so that the monolith keeps
 * them under another name, or has kept them until somebody dropped them. What says so is the monolith's database, which changes
 * with one RENAME and not before.
 */
export async function endedCopies({ tables }: Pick<Slice, 'tables'>, monolith: Queryable): Promise<SliceTable[]> {
  const ending = tables.filter(({ until }) => until !== null);
  if (ending.length === 0) return [];
  const names = ending.flatMap(({ source }) => [source, retiredName(source)]);
  const rows = await rowsOf<{ name: string }>(
    monolith,
    'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN (?)',
    [[...names, retiredTablesTable]],
  );
  const present = setOfNames(rows);
  const retired = present(retiredTablesTable)
    ? setOfNames(await rowsOf<{ name: string }>(monolith, `SELECT table_name AS name FROM ${retiredTablesTable}`))
    : () => false;
  return ending.filter(({ source }) => !present(source) && (present(retiredName(source)) || retired(source)));
}

/** Whether a name is among them, in whatever case the server keeps it. */
const setOfNames = (rows: readonly { name: string }[]): ((name: string) => boolean) => {
  const names = new Set(rows.map(({ name }) => name.toLowerCase()));
  return (name) => names.has(name.toLowerCase());
};

/** The slice as far as its tables are still moved or copied. */
export const withoutTables = (slice: Slice, ended: readonly SliceTable[]): Slice =>
  ended.length === 0 ? slice : { ...slice, tables: slice.tables.filter((table) => !ended.includes(table)) };
