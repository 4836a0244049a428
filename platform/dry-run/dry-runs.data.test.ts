import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { Registry } from 'prom-client';
import { createPool } from '../mysql/pool.ts';
import { withTransaction } from '../mysql/transaction.ts';
import { type FreshDatabase, freshDatabase } from '../testing/servers.ts';
import { createDryRuns, type DryRuns } from './dry-runs.ts';

let database: FreshDatabase;
let real: Pool;
let dryRuns: DryRuns;
let pool: Pool;

beforeAll(async () => {
  database = await freshDatabase('dryruns');
  real = createPool(database.url, { connectionLimit: 4 });
  await real.query('CREATE TABLE things (id INT PRIMARY KEY AUTO_INCREMENT, v INT UNIQUE) ENGINE=InnoDB');
});
afterAll(async () => {
  await real?.end();
  await database?.drop();
});
beforeEach(async () => {
  await real.query('DELETE FROM things');
  await real.query('INSERT INTO things (id, v) VALUES (1, 1), (2, 2)');
  dryRuns = createDryRuns({ databaseUrl: database.url, registry: new Registry(), deadlineMs: 5_000 });
  pool = dryRuns.pool(real);
});
afterEach(async () => {
  await dryRuns.close();
  expect(await values(real)).toEqual([1, 2]);
});

async function values(on: Pick<Pool, 'query'>): Promise<number[]> {
  const [rows] = await on.query<RowDataPacket[]>('SELECT v FROM things ORDER BY v');
  return rows.map(({ v }) => v);
}

const insert = (v: number) => pool.query('INSERT INTO things (v) VALUES (?)', [v]);
const inTransaction = (v: number, then?: () => Promise<unknown>) =>
  withTransaction(pool, 'READ COMMITTED', async (connection) => {
    await connection.query('INSERT INTO things (v) VALUES (?)', [v]);
    await then?.();
  });

describe('within a dry run', () => {
  test('work sees all that it has done, and nothing of it is there afterwards', async () => {
    const seen = await dryRuns.run(async () => {
      await insert(3);
      await inTransaction(4);
      return values(pool);
    });
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  test('a transaction that fails undoes what it did and no more', async () => {
    const seen = await dryRuns.run(async () => {
      await inTransaction(3);
      await expect(inTransaction(4, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
      await expect(inTransaction(1)).rejects.toMatchObject({ errno: 1062 });
      return values(pool);
    });
    expect(seen).toEqual([1, 2, 3]);
  });

  test('transactions that were meant to run side by side run one after the other', async () => {
    const seen = await dryRuns.run(async () => {
      await Promise.all([inTransaction(3), inTransaction(4), inTransaction(5)]);
      return values(pool);
    });
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });

  test.each([
    'CREATE TABLE other (id INT)',
    'ALTER TABLE things ADD COLUMN w INT',
    'TRUNCATE TABLE things',
    'LOCK TABLES things WRITE',
    'COMMIT',
    'START TRANSACTION',
    'SET autocommit = 1',
    'set session autocommit = 0',
    'XA END whatever',
    "SET @strangler_pass = 'mine'",
  ])('%s, which would end the transaction, is refused, and the whole run with it', async (sql) => {
    const running = dryRuns.run(async () => {
      await insert(3);
      await pool.query(sql).catch(() => {});
      await insert(4).catch(() => {});
      return 'answered all the same';
    });
    await expect(running).rejects.toMatchObject({ status: 501 });
    const [tables] = await real.query<RowDataPacket[]>('SHOW TABLES');
    expect(tables).toHaveLength(1);
  });

  test('work that takes too long is undone under its feet', async () => {
    await dryRuns.close();
    dryRuns = createDryRuns({ databaseUrl: database.url, registry: new Registry(), deadlineMs: 200 });
    pool = dryRuns.pool(real);
    let goOn = (): void => {};
    const later = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    let end: Promise<unknown> | undefined;
    const running = dryRuns.run(async () => {
      await insert(3);
      await later;
      end = insert(4);
      await end;
    });
    await expect(running).rejects.toMatchObject({ status: 503 });
    expect(await values(real)).toEqual([1, 2]);
    goOn();
    await expect(Promise.resolve().then(() => end)).rejects.toMatchObject({ status: 503 });
  });

  test('a row that somebody else has locked ends it, and that one is not held up', async () => {
    const other = await real.getConnection();
    await other.query('START TRANSACTION');
    await other.query('UPDATE things SET v = v WHERE id = 1');
    await expect(dryRuns.run(() => pool.query('UPDATE things SET v = 9 WHERE id = 1'))).rejects.toMatchObject({
      status: 503,
    });
    await other.query('ROLLBACK');
    other.release();
  });

  test('a connection that is lost takes everything with it', async () => {
    const running = dryRuns.run(async () => {
      await insert(3);
      const [[own]] = await pool.query<RowDataPacket[]>('SELECT CONNECTION_ID() AS id');
      const admin = createPool(database.adminUrl, { connectionLimit: 1 });
      await admin.query(`KILL ${Number(own?.id)}`);
      await admin.end();
      await insert(4);
    });
    await expect(running).rejects.toMatchObject({ status: 503 });
  });
});

test('outside of a dry run the pool is what it was', async () => {
  await dryRuns.run(async () => insert(3));
  await inTransaction(7);
  expect(await values(pool)).toEqual([1, 2, 7]);
  await pool.query('DELETE FROM things WHERE v = 7');
});

test('more than there is room for are refused at once', async () => {
  await dryRuns.close();
  const bounds = { atOnce: 1, waiting: 1, deadlineMs: 5_000 };
  dryRuns = createDryRuns({ databaseUrl: database.url, registry: new Registry(), ...bounds });
  pool = dryRuns.pool(real);
  await dryRuns.run(async () => {});
  const ends = await Promise.allSettled(
    Array.from({ length: 6 }, () => dryRuns.run(() => pool.query('SELECT SLEEP(0.05)'))),
  );
  const refused = ends.filter(({ status }) => status === 'rejected');
  expect(refused.length).toBeGreaterThanOrEqual(1);
  for (const one of refused) expect((one as PromiseRejectedResult).reason).toMatchObject({ status: 503 });
});

test('a database with a table that cannot be undone takes none', async () => {
  await real.query('CREATE TABLE kept (id INT) ENGINE=MyISAM');
  try {
    await expect(dryRuns.run(() => pool.query('INSERT INTO kept VALUES (1)'))).rejects.toMatchObject({ status: 501 });
    const [rows] = await real.query<RowDataPacket[]>('SELECT * FROM kept');
    expect(rows).toEqual([]);
  } finally {
    await real.query('DROP TABLE kept');
  }
});
