import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { rowsOf } from '../schema/queryable.ts';
import { OperationLockLost, OperationUnderWay, operationLockName, withOperationLock } from './operation-lock.ts';

let database: FreshDatabase;
let pool: Pool;
let other: Pool;
beforeAll(async () => {
  database = await freshDatabase('lock');
  pool = createPool(database.url, { connectionLimit: 2 });
  other = createPool(database.url, { connectionLimit: 2 });
});
afterAll(async () => {
  await pool?.end();
  await other?.end();
  await database?.drop();
});

const once0 = { waitSeconds: 0 };

/** The connection that holds the slice's lock. */
async function holder(slice: string): Promise<number | null> {
  const [row] = await rowsOf<{ id: number | null }>(pool, 'SELECT IS_USED_LOCK(?) AS id', [
    operationLockName(database.name, slice),
  ]);
  return row?.id ?? null;
}

test('of two operations on a slice one is refused and told who holds the lock; on another slice it may run', async () => {
  const result = await withOperationLock(pool, 'shop', 'advance', async () => {
    const refused = withOperationLock(other, 'shop', 'backfill', async () => 'never', once0);
    await expect(refused).rejects.toBeInstanceOf(OperationUnderWay);
    await expect(refused).rejects.toThrow(
      new RegExp(`^backfill of shop: .* held by connection ${await holder('shop')} \\(${database.name} from `),
    );
    return await withOperationLock(other, 'orders', 'backfill', async () => 'both', once0);
  });
  expect(result).toBe('both');
  expect(await holder('shop')).toBeNull();
});

test('the lock is free again after a failure, and after its process was killed', async () => {
  await expect(withOperationLock(pool, 'shop', 'advance', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await withOperationLock(other, 'shop', 'advance', async () => 'free', once0)).toBe('free');

  const script = join(import.meta.dirname, 'lock-process.fixture.ts');
  const child = spawn(process.execPath, [script, database.url], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  const exited = once(child, 'exit');
  await once(child.stdout, 'data');
  await expect(withOperationLock(pool, 'shop', 'advance', async () => {}, once0)).rejects.toThrow(OperationUnderWay);
  child.kill('SIGKILL');
  await exited;
  expect(await withOperationLock(pool, 'shop', 'advance', async () => 'free')).toBe('free');
});

test('an operation whose lock is lost is told so, and does not pass for done', async () => {
  const lost = withOperationLock(
    pool,
    'shop',
    'advance',
    async (signal) => {
      await other.query(`KILL ${await holder('shop')}`);
      if (!signal.aborted) await once(signal, 'abort');
      return 'done';
    },
    { lookEveryMs: 10 },
  );
  await expect(lost).rejects.toBeInstanceOf(OperationLockLost);
});

test('names of locks are of one slice in one database, and as long as the servers take', async () => {
  expect(operationLockName('shop', 'catalog')).toBe('strangler.catalog.shop');
  const long = ['a', 'b'].map((end) => operationLockName('d'.repeat(64), 's'.repeat(63) + end));
  expect(long[0]).not.toBe(long[1]);
  expect(Math.max(...long.map((name) => name.length))).toBeLessThanOrEqual(64);
  const slice = 's'.repeat(64);
  expect(await withOperationLock(pool, slice, 'advance', async () => (await holder(slice)) !== null)).toBe(true);
});
