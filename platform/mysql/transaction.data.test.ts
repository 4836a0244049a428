import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Pool, PoolConnection } from 'mysql2/promise';
import { eventually } from '../testing/eventually.ts';
import { type FreshDatabase, freshDatabase } from '../testing/servers.ts';
import { startTcpProxy } from '../testing/tcp-proxy.ts';
import { createPool } from './pool.ts';
import { CommitOutcomeUnknown, type Conflict, withTransaction } from './transaction.ts';

let database: FreshDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await freshDatabase('transaction');
  pool = createPool(database.url);
  await pool.query('CREATE TABLE accounts (id INT PRIMARY KEY, cents INT NOT NULL) ENGINE = InnoDB');
});

afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

beforeEach(async () => {
  await pool.query('DELETE FROM accounts');
  await pool.query('INSERT INTO accounts VALUES (1, 100), (2, 100)');
});

async function cents(id: number, from: Pool | PoolConnection = pool): Promise<number> {
  const [rows] = await from.query('SELECT cents FROM accounts WHERE id = ?', [id]);
  return (rows as { cents: number }[])[0]?.cents ?? Number.NaN;
}

const add = (connection: Pool | PoolConnection, id: number, amount: number) =>
  connection.query('UPDATE accounts SET cents = cents + ? WHERE id = ?', [amount, id]);

test('what is done in it is committed together, and its result given back', async () => {
  const result = await withTransaction(pool, 'READ COMMITTED', async (connection) => {
    await add(connection, 1, -10);
    await add(connection, 2, 10);
    return 'done';
  });
  expect(result).toBe('done');
  expect([await cents(1), await cents(2)]).toEqual([90, 110]);
});

test('an error rolls everything back and is thrown as it is; the connection is used again', async () => {
  const single = createPool(database.url, { connectionLimit: 1 });
  const bug = new Error('bug');
  try {
    const running = withTransaction(single, 'READ COMMITTED', async (connection) => {
      await add(connection, 1, -10);
      throw bug;
    });
    await expect(running).rejects.toBe(bug);
    expect(await cents(1, single)).toBe(100);
  } finally {
    await single.end();
  }
});

test('the isolation is the one that was asked for', async () => {
  const seen = (isolation: 'READ COMMITTED' | 'REPEATABLE READ') =>
    withTransaction(pool, isolation, async (connection) => {
      const before = await cents(1, connection);
      await add(pool, 1, 1);
      return (await cents(1, connection)) - before;
    });
  await expect(seen('READ COMMITTED')).resolves.toBe(1);
  await expect(seen('REPEATABLE READ')).resolves.toBe(0);
});

describe('conflicts', () => {
  test('of two transactions that lock each other out both are done in the end, and the second try is told of', async () => {
    const conflicts: Conflict[] = [];
    const firstLocks = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
    const move = (from: number, to: number, mine: 0 | 1) => {
      let attempt = 0;
      return withTransaction(
        pool,
        'READ COMMITTED',
        async (connection) => {
          attempt += 1;
          await add(connection, from, -10);
          firstLocks[mine].resolve();
          if (attempt === 1) await firstLocks[mine === 0 ? 1 : 0].promise;
          await add(connection, to, 10);
        },
        { onRetry: (conflict) => conflicts.push(conflict) },
      );
    };
    await Promise.all([move(1, 2, 0), move(2, 1, 1)]);
    expect(conflicts).toEqual(['deadlock']);
    expect([await cents(1), await cents(2)]).toEqual([100, 100]);
  });

  test('a lock that is not given up is tried for as often as told, then thrown', async () => {
    const conflicts: Conflict[] = [];
    const holder = await pool.getConnection();
    try {
      await holder.query('START TRANSACTION');
      await add(holder, 1, 1);
      const waiting = withTransaction(
        pool,
        'READ COMMITTED',
        async (connection) => {
          await connection.query('SET innodb_lock_wait_timeout = 1');
          await add(connection, 2, 5);
          await add(connection, 1, 5);
        },
        { maxAttempts: 2, onRetry: (conflict) => conflicts.push(conflict) },
      );
      await expect(waiting).rejects.toMatchObject({ errno: 1205 });
      expect(conflicts).toEqual(['lock-wait']);
      expect(await cents(2)).toBe(100);
    } finally {
      await holder.query('ROLLBACK');
      holder.release();
    }
  });

  test('no other error is tried again', async () => {
    let attempts = 0;
    const running = withTransaction(pool, 'READ COMMITTED', async (connection) => {
      attempts += 1;
      await connection.query('INSERT INTO accounts VALUES (1, 0)');
    });
    await expect(running).rejects.toMatchObject({ errno: 1062 });
    expect(attempts).toBe(1);
  });
});

describe('a connection that is lost', () => {
  test('while COMMIT is under way leaves the outcome unknown, and says so', async () => {
    const proxy = await startTcpProxy(database.url);
    const through = createPool(proxy.url, { connectionLimit: 1 });
    try {
      const running = withTransaction(through, 'READ COMMITTED', async (connection) => {
        await add(connection, 1, 1);
        proxy.holdAnswers();
        // What is sent next is COMMIT: it gets through, and its answer does not.
        void eventually(async () => (await cents(1)) === 101).finally(() => proxy.cut());
      });
      await expect(running).rejects.toBeInstanceOf(CommitOutcomeUnknown);
      expect(await cents(1)).toBe(101);
    } finally {
      await through.end();
      await proxy.close();
    }
  });

  test('before COMMIT has changed nothing, and is not said to be unknown', async () => {
    const proxy = await startTcpProxy(database.url);
    const through = createPool(proxy.url, { connectionLimit: 1 });
    try {
      const running = withTransaction(through, 'READ COMMITTED', async (connection) => {
        await add(connection, 1, 1);
        proxy.cut();
        await add(connection, 1, 1);
      });
      await expect(running).rejects.not.toBeInstanceOf(CommitOutcomeUnknown);
      expect(await cents(1)).toBe(100);
    } finally {
      await through.end();
      await proxy.close();
    }
  });
});

test('a pool that is all in use is not waited for without end', async () => {
  const single = createPool(database.url, { connectionLimit: 1 });
  try {
    const held = await single.getConnection();
    const running = withTransaction(single, 'READ COMMITTED', async () => 'never', { acquireTimeoutMs: 50 });
    await expect(running).rejects.toThrow(/expected one within 50 ms, found all of the pool in use/);
    held.release();
    await expect(withTransaction(single, 'READ COMMITTED', async () => 'now')).resolves.toBe('now');
  } finally {
    await single.end();
  }
});
