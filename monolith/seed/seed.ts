import { createLog, type Log } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import type { Pool, PoolConnection, RowDataPacket } from 'mysql2/promise';
import { databaseMigrations, openDatabase } from '../database.ts';
import { type SeedPlan, type SeedTable, type SqlValue, seedPlan } from './seed-table.ts';
import { seedTables } from './tables.ts';

/** Rows of one INSERT. */
const BATCH_ROWS = 1000;

/** Rows of one transaction. */
const TRANSACTION_ROWS = 20_000;

export type SeedProgress = { table: string; rowsDone: number; rowsTotal: number };

export type SeedOptions = {
  /** mysql://user:password@host:port/database; pending schema migrations are run first. */
  url: string;
  /** Number of products, at least 1. */
  size: number;
  seed: number;
  /** Takes the whole schema down first, with all that is in it. Without it a database with rows is refused. */
  reset?: boolean;
  onProgress?(progress: SeedProgress): void;
  log?: Log;
};

export type SeedSummary = { tables: { table: string; rows: number }[]; rows: number; durationMs: number };

/** The database has rows already. */
export class DatabaseNotEmpty extends Error {
  constructor(table: string) {
    super(`Expected an empty database, found rows in ${table}. With --reset everything in it is deleted first.`);
    this.name = 'DatabaseNotEmpty';
  }
}

/**
 * Fills a shop's database with rows that depend on `size` and `seed` alone, ids included, the same on MySQL and MariaDB.
 * Throws DatabaseNotEmpty when there are rows and `reset` is not set.
 */
export async function seed(options: SeedOptions): Promise<SeedSummary> {
  const startedMs = performance.now();
  const plan = seedPlan(options);
  const log = options.log ?? createLog({ name: 'seed', level: 'warn' });
  await migrate(options, log);
  const tables = await seedTables(plan);
  const pool = createPool(options.url, { connectionLimit: 1 });
  try {
    await refuseRows(pool, tables);
    const counted = tables.map((table) => ({ table: table.table, rows: table.rowCount(plan) }));
    const rowsTotal = counted.reduce((sum, { rows }) => sum + rows, 0);
    let rowsDone = 0;
    for (const table of tables) {
      await fill(pool, plan, table, (rows) => {
        rowsDone += rows;
        options.onProgress?.({ table: table.table, rowsDone, rowsTotal });
      });
    }
    return { tables: counted, rows: rowsTotal, durationMs: performance.now() - startedMs };
  } finally {
    await pool.end();
  }
}

async function migrate({ url, reset }: SeedOptions, log: Log): Promise<void> {
  const database = openDatabase({ url, log, poolMax: 2 });
  try {
    const migrations = await databaseMigrations(database.sequelize, log);
    if (reset) await migrations.down({ to: 0 });
    await migrations.up();
  } finally {
    await database.close();
  }
}

async function refuseRows(pool: Pool, tables: SeedTable[]): Promise<void> {
  for (const { table } of tables) {
    const [rows] = await pool.query<RowDataPacket[]>('SELECT 1 FROM ?? LIMIT 1', [table]);
    if (rows.length > 0) throw new DatabaseNotEmpty(table);
  }
}

async function fill(pool: Pool, plan: SeedPlan, table: SeedTable, onRows: (rows: number) => void): Promise<void> {
  const connection = await pool.getConnection();
  try {
    let inTransaction = 0;
    let writing: Promise<unknown> = Promise.resolve();
    await connection.beginTransaction();
    for (const batch of batches(table.rows(plan), BATCH_ROWS)) {
      // The next batch is made while the server works on the one before.
      await writing;
      if (inTransaction >= TRANSACTION_ROWS) {
        await connection.commit();
        await connection.beginTransaction();
        inTransaction = 0;
      }
      inTransaction += batch.length;
      writing = insert(connection, table, batch).then(() => onRows(batch.length));
    }
    await writing;
    await connection.commit();
  } catch (error) {
    // A connection that ends takes its open transaction with it.
    connection.destroy();
    throw new Error(`Seeding ${table.table} failed; what was committed is still there, start again with --reset`, {
      cause: error,
    });
  }
  connection.release();
}

function insert(connection: PoolConnection, { table, columns }: SeedTable, rows: SqlValue[][]): Promise<unknown> {
  return connection.query('INSERT INTO ?? (??) VALUES ?', [table, columns, rows]);
}

function* batches<T>(items: Iterable<T>, size: number): Iterable<T[]> {
  let batch: T[] = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
