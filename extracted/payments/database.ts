import { fileURLToPath } from 'node:url';
import type { Log } from '@strangler/platform/log.ts';
import { schemaMigrations } from '@strangler/platform/mysql/schema-migrations.ts';
import type { Pool, PoolConnection, ResultSetHeader } from 'mysql2/promise';

/** What runs a statement: the pool, or the connection of a transaction. */
export type Executor = Pick<Pool | PoolConnection, 'query'>;

/** The rows of a SELECT; the type is the caller's word for what the statement selects. */
export async function select<Row>(executor: Executor, sql: string, values: unknown[] = []): Promise<Row[]> {
  const [rows] = await executor.query(sql, values);
  return rows as Row[];
}

/** Runs a statement that changes rows; returns how many it found, and the id it allotted (0 when none). */
export async function change(
  executor: Executor,
  sql: string,
  values: unknown[] = [],
): Promise<{ found: number; id: number }> {
  const [header] = (await executor.query(sql, values)) as unknown as [ResultSetHeader];
  return { found: header.affectedRows, id: Number(header.insertId) };
}

/** True for an error that says that a unique key has this value already. */
export function isDuplicate(error: unknown): boolean {
  return (error as { errno?: unknown } | null)?.errno === 1062;
}

export const migrationsDirectory = fileURLToPath(new URL('./migrations/', import.meta.url));

/** Brings the payments' schema up to date; returns the names of the migrations that ran. */
export async function migrateUp(url: string, log: Log): Promise<string[]> {
  const migrations = schemaMigrations({ url, directory: migrationsDirectory, log });
  try {
    return (await migrations.up()).map(({ name }) => name);
  } finally {
    await migrations.close();
  }
}
