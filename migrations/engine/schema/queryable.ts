import type { Connection, Pool } from 'mysql2/promise';

/** Whatever runs queries: a pool or one of its connections. */
export type Queryable = Pick<Connection | Pool, 'query'>;

/** The rows of a query. */
export async function rowsOf<T>(db: Queryable, sql: string, values: readonly unknown[] = []): Promise<T[]> {
  const [rows] = await db.query(sql, [...values]);
  return rows as T[];
}
