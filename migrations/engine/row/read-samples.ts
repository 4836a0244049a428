import type { RowImage } from '@strangler/platform/contracts/row-message.ts';
import type { Dialect } from '@strangler/platform/mysql/pool.ts';
import { quoteName, quoteTable } from '../schema/identifiers.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { columnOf, type TableSchema } from '../schema/table-schema.ts';
import { codecOf } from './column-codec.ts';

/** Images of the first and the last rows of a table by its primary key, `count` of each at most. */
export async function readSamples(
  db: Queryable,
  {
    table,
    columns,
    dialect,
    count,
  }: { table: TableSchema; columns: readonly string[]; dialect: Dialect; count: number },
): Promise<RowImage[]> {
  const list = columns
    .map((name) => `${codecOf(columnOf(table, name), dialect).encodeSql(`t.${quoteName(name)}`)} AS ${quoteName(name)}`)
    .join(', ');
  const samples: RowImage[] = [];
  for (const direction of ['ASC', 'DESC']) {
    const order = table.primaryKey.map((name) => `t.${quoteName(name)} ${direction}`).join(', ');
    const sql = `SELECT ${list} FROM ${quoteTable(table)} t${order === '' ? '' : ` ORDER BY ${order}`} LIMIT ${count}`;
    samples.push(...(await rowsOf<RowImage>(db, sql)).map((row) => ({ ...row })));
  }
  return samples;
}
