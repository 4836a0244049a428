import { fileURLToPath } from 'node:url';
import type { Log } from '@strangler/platform/log.ts';
import { createSequelize } from '@strangler/platform/mysql/sequelize.ts';
import type { Sequelize } from 'sequelize';
import { defineModels, type Models } from './models/index.ts';
import { nameWriters } from './session-writer.ts';

/** The shop's one database: a connection pool and the models of every module. */
export type Database = {
  sequelize: Sequelize;
  models: Models;
  /** Fails when the database does not answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
};

export function openDatabase(options: { url: string; log: Log; poolMax?: number }): Database {
  const sequelize = createSequelize(options.url, { log: options.log, pool: { max: options.poolMax ?? 20 } });
  nameWriters(sequelize);
  return {
    sequelize,
    models: defineModels(sequelize),
    ping: async () => {
      await sequelize.query('SELECT 1');
    },
    close: () => sequelize.close(),
  };
}

export const migrationsDirectory = fileURLToPath(new URL('./migrations/', import.meta.url));

/** The schema migrations of the shop, as an umzug instance over an open connection. Loaded only where somebody migrates. */
export async function databaseMigrations(sequelize: Sequelize, log: Log) {
  const { schemaMigrations } = await import('@strangler/platform/mysql/schema-migrations.ts');
  return schemaMigrations({ sequelize, directory: migrationsDirectory, log });
}
