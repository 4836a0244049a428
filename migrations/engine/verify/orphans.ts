import type { Pool } from 'mysql2/promise';
import { quoteName, quoteTable } from '../schema/identifiers.ts';
import { rowsOf } from '../schema/queryable.ts';
import type { ForeignKey, TableSchema } from '../schema/table-schema.ts';

/** Rows of a table that point at no row: the pipe writes without checking foreign keys, so the end state is checked. */
export type Orphans = { foreignKey: string; table: string; referencedTable: string; rows: number };

/**
 * Counts, for each foreign key of a target table, the rows whose parent is not there, up to `limit`. Reads the whole table
 * by its index, without locks. None is found once the pipe is empty, if the source has none.
 */
export async function findOrphans(pool: Pool, table: TableSchema, limit = 1000): Promise<Orphans[]> {
  const found: Orphans[] = [];
  for (const foreignKey of table.foreignKeys) {
    const [counted] = await rowsOf<{ n: number }>(pool, orphansSql(table, foreignKey), [limit]);
    const rows = counted?.n ?? 0;
    if (rows === 0) continue;
    const { name, referencedTable } = foreignKey;
    found.push({ foreignKey: name, table: table.name, referencedTable, rows });
  }
  return found;
}

/** A key with a NULL in it points at nothing and needs no parent. */
const orphansSql = (table: TableSchema, key: ForeignKey): string => {
  const columns = key.columns.map((name) => `child.${quoteName(name)}`);
  const matches = key.referencedColumns.map((name, index) => `parent.${quoteName(name)} = ${columns[index]}`);
  const parent = quoteTable({ database: key.referencedDatabase, name: key.referencedTable });
  const needsParent = columns.map((column) => `${column} IS NOT NULL`).join(' AND ');
  return `SELECT COUNT(*) AS n FROM (SELECT 1 FROM ${quoteName(table.name)} AS child WHERE ${needsParent}
    AND NOT EXISTS (SELECT 1 FROM ${parent} AS parent WHERE ${matches.join(' AND ')}) LIMIT ?) AS orphans`;
};
