import type { Connection, Pool } from 'mysql2/promise';

/** Whatever runs queries: a pool or one of its connections. */
export type Queryable = Pick<Connection | Pool, 'query'>;

/** The rows of a query. */
export async function rowsOf<T>(db: Queryable, sql: string, values: readonly unknown[] = []): Promise<T[]> {
  const [rows] = await db.query(sql, [...values]);
  return rows as T[];
}

/**
 * The number of MySQL's error for INNODB_TRX and PROCESSLIST of the information schema while a session runs a statement with characters
 * beyond U+FFFF: they show it in a character set that has none of them.
 */
export const cannotConvertString = 3854;
