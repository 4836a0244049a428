import { fileURLToPath } from 'node:url';
import type { Log } from '@strangler/platform/log.ts';
import { migrateUp as bringUp } from '@strangler/platform/mysql/migrate-up.ts';

export const migrationsDirectory = fileURLToPath(new URL('./migrations/', import.meta.url));

/** Brings the payments' schema up to date; returns the names of the migrations that ran. */
export function migrateUp(url: string, log: Log): Promise<string[]> {
  return bringUp({ url, directory: migrationsDirectory, log });
}
