import type { Log } from '../log.ts';

/** Of one database. */
export type MigrateUpOptions = {
  url: string;
  /** Of files `NNNN-name.ts`. */
  directory: string;
  log: Log;
};

/**
 * Brings a schema up to date; returns the names of the migrations that ran. What migrates is loaded only here: it brings 300
 * modules with it, and most starts migrate nothing.
 */
export async function migrateUp(options: MigrateUpOptions): Promise<string[]> {
  const { schemaMigrations } = await import('./schema-migrations.ts');
  const migrations = schemaMigrations(options);
  try {
    return (await migrations.up()).map(({ name }) => name);
  } finally {
    await migrations.close();
  }
}
