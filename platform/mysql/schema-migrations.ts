import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import type { QueryInterface, Sequelize } from 'sequelize';
import { type MigrationParams, type RunnableMigration, SequelizeStorage, Umzug } from 'umzug';
import type { Log } from '../log.ts';
import { createSequelize } from './sequelize.ts';

/** What a file `NNNN-name.ts` exports: `export const up: SchemaMigration = async ({ context }) => { … }`, and `down`. */
export type SchemaMigration = (params: MigrationParams<QueryInterface>) => Promise<unknown>;

export type SchemaMigrationsOptions = {
  log: Log;
  /** How long to wait for another process that migrates the same database, 60 000 ms unless told. */
  lockTimeoutMs?: number;
} & ({ sequelize: Sequelize } | { url: string }) &
  (
    | { /** Of files `NNNN-name.ts`. */ directory: string }
    | { migrations: readonly { name: string; up: SchemaMigration; down?: SchemaMigration }[] }
  );

/** Umzug, holding a lock in the database while it goes up or down, so that two processes never race. */
export class SchemaMigrations extends Umzug<QueryInterface> {
  readonly #sequelize: Sequelize;
  readonly #owned: boolean;
  readonly #lockTimeoutMs: number;

  constructor(
    sequelize: Sequelize,
    owned: boolean,
    lockTimeoutMs: number,
    log: Log,
    migrations: () => Promise<RunnableMigration<QueryInterface>[]>,
  ) {
    super({
      migrations,
      context: sequelize.getQueryInterface(),
      storage: new SequelizeStorage({ sequelize, modelName: table, tableName: table, timestamps: true }),
      logger: {
        debug: (message) => log.debug(message),
        info: (message) => log.info(message, 'schema migration'),
        warn: (message) => log.warn(message),
        error: (message) => log.error(message),
      },
    });
    this.#sequelize = sequelize;
    this.#owned = owned;
    this.#lockTimeoutMs = lockTimeoutMs;
  }

  protected override runCommand<T>(
    command: string,
    run: (params: { context: QueryInterface }) => Promise<T>,
  ): Promise<T> {
    if (command !== 'up' && command !== 'down') return super.runCommand(command, run);
    return withLock(this.#sequelize, this.#lockTimeoutMs, async (stillHeld) => {
      const offUp = this.on('migrating', stillHeld);
      const offDown = this.on('reverting', stillHeld);
      try {
        return await super.runCommand(command, run);
      } finally {
        offUp();
        offDown();
      }
    });
  }

  /** Closes the connections it opened for itself; those of a given Sequelize stay. */
  async close(): Promise<void> {
    if (this.#owned) await this.#sequelize.close();
  }
}

const table = 'schema_migrations';
const fileName = /^(\d{4})-[a-z0-9]+(?:-[a-z0-9]+)*\.ts$/;

/**
 * The schema migrations of one database: `up()`, `down()`, `pending()`, `executed()`; done ones stand in the table
 * `schema_migrations`, by name and without `.ts`. A failing one throws Umzug's `MigrationError`: name, direction, cause.
 */
export function schemaMigrations(options: SchemaMigrationsOptions): SchemaMigrations {
  const { log, lockTimeoutMs = 60_000 } = options;
  const owned = !('sequelize' in options);
  const sequelize =
    'sequelize' in options ? options.sequelize : createSequelize(options.url, { log, pool: { max: 1 } });
  const migrations =
    'directory' in options
      ? () => migrationsIn(options.directory)
      : async () => options.migrations.map((migration) => ({ ...migration }));
  return new SchemaMigrations(sequelize, owned, lockTimeoutMs, log, migrations);
}

async function migrationsIn(directory: string): Promise<RunnableMigration<QueryInterface>[]> {
  const entries = await readdir(directory);
  const files = entries.filter((name) => name.endsWith('.ts') && !/\.(test|d)\.ts$/.test(name)).sort();
  const byNumber = new Map<string, string>();
  for (const file of files) {
    const number = fileName.exec(file)?.[1];
    if (number === undefined) {
      throw new Error(`schema migrations in ${directory}: expected NNNN-name.ts (lower case, dashes), found ${file}`);
    }
    const other = byNumber.get(number);
    if (other !== undefined) {
      throw new Error(
        `schema migrations in ${directory}: ${other} and ${file} have the same number; renumber the later one`,
      );
    }
    byNumber.set(number, file);
  }
  return files.map((file) => migrationOf(path.resolve(directory, file)));
}

function migrationOf(file: string): RunnableMigration<QueryInterface> {
  const run = async (direction: 'up' | 'down', params: MigrationParams<QueryInterface>) => {
    const module: Partial<Record<'up' | 'down', SchemaMigration>> = await import(pathToFileURL(file).href);
    const step = module[direction];
    if (typeof step !== 'function') throw new Error(`${file}: expected an exported function ${direction}, found none`);
    return step(params);
  };
  return {
    name: path.basename(file, '.ts'),
    path: file,
    up: (params) => run('up', params),
    down: (params) => run('down', params),
  };
}

/** Holds GET_LOCK on a connection of its own; `stillHeld` throws when that connection, and so the lock, was lost. */
async function withLock<T>(
  sequelize: Sequelize,
  timeoutMs: number,
  fn: (stillHeld: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const { host, port, username, password, database } = sequelize.config;
  const connection = await mysql.createConnection({
    host: host ?? '127.0.0.1',
    port: Number(port ?? 3306),
    user: username,
    password: password ?? undefined,
    database,
    connectTimeout: 5000,
    enableKeepAlive: true,
  } as mysql.ConnectionOptions);
  connection.on('error', () => {});
  const name = lockName(database);
  try {
    const [got] = await ask(connection, 'SELECT GET_LOCK(?, ?) AS answer', [name, Math.ceil(timeoutMs / 1000)]);
    if (got?.answer !== 1) {
      const [holder] = await ask(connection, 'SELECT IS_USED_LOCK(?) AS answer', [name]);
      throw new Error(
        `schema migrations of ${database}: expected the lock ${name} within ${timeoutMs} ms, found it held by connection ${holder?.answer}; wait for the process that is migrating, or end that connection with KILL`,
      );
    }
    return await fn(async () => {
      const [held] = await ask(connection, 'SELECT IS_USED_LOCK(?) = CONNECTION_ID() AS answer', [name]);
      if (held?.answer !== 1)
        throw new Error(`schema migrations of ${database}: lost the lock ${name}; run them again`);
    });
  } finally {
    // The server gives the lock back when its connection ends.
    await connection.end().catch(() => connection.destroy());
  }
}

async function ask(connection: Connection, sql: string, values: unknown[]): Promise<{ answer: number | null }[]> {
  const [rows] = await connection.query<RowDataPacket[]>(sql, values);
  return rows as { answer: number | null }[];
}

/** Lock names are the whole server's, and 64 characters at most. */
function lockName(database: string): string {
  const name = `${table}:${database}`;
  return name.length <= 64 ? name : `${table}:${createHash('sha256').update(database).digest('hex').slice(0, 40)}`;
}
