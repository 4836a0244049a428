import { fileURLToPath } from 'node:url';
import type { Log } from '@strangler/platform/log.ts';
import { schemaMigrations } from '@strangler/platform/mysql/schema-migrations.ts';

export const migrationsDirectory = fileURLToPath(new URL('./migrations/', import.meta.url));

/** Brings the orders' schema up to date; returns the names of the migrations that ran. */
export async function migrateUp(url: string, log: Log): Promise<string[]> {
  const migrations = schemaMigrations({ url, directory: migrationsDirectory, log });
  try {
    return (await migrations.up()).map(({ name }) => name);
  } finally {
    await migrations.close();
  }
}
