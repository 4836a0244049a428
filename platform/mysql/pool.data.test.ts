import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Pool } from 'mysql2/promise';
import { Registry } from 'prom-client';
import { eventually } from '../testing/eventually.ts';
import { type FreshDatabase, freshDatabase, testServers } from '../testing/servers.ts';
import { startTcpProxy } from '../testing/tcp-proxy.ts';
import { createPool, dialectOf } from './pool.ts';

type Row = Record<string, unknown>;
let database: FreshDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await freshDatabase('pool');
  pool = createPool(database.url);
});

afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

async function one(sql: string, values: unknown[] = [], from: Pool = pool): Promise<Row> {
  const [rows] = await from.query(sql, values);
  return (rows as Row[])[0] ?? {};
}

test('says which engine answers', async () => {
  await expect(dialectOf(pool)).resolves.toBe(testServers().engine);
});

describe('values', () => {
  test('times are UTC in both directions, to the millisecond', async () => {
    await pool.query('CREATE TABLE times (id INT PRIMARY KEY, at DATETIME(3), stamp TIMESTAMP(3) NULL)');
    const at = new Date('2026-07-01T10:20:30.456Z');
    await pool.query('INSERT INTO times VALUES (1, ?, ?)', [at, at]);
    const row = await one(
      "SELECT at, stamp, DATE_FORMAT(at, '%H:%i') AS at_text, DATE_FORMAT(stamp, '%H:%i') AS stamp_text FROM times",
    );
    expect(row).toEqual({ at, stamp: at, at_text: '10:20', stamp_text: '10:20' });
    await expect(
      one('SELECT @@session.time_zone AS zone, TIMESTAMPDIFF(SECOND, NOW(), UTC_TIMESTAMP()) AS apart'),
    ).resolves.toEqual({
      zone: '+00:00',
      apart: 0,
    });
  });

  test('a decimal keeps all its digits', async () => {
    await expect(one("SELECT CAST('12345678901234567890.123456789' AS DECIMAL(30, 9)) AS d")).resolves.toEqual({
      d: '12345678901234567890.123456789',
    });
  });

  test('a big integer is a number while that is exact, and text beyond', async () => {
    await expect(
      one(
        'SELECT CAST(9007199254740991 AS SIGNED) AS safe, CAST(9007199254740993 AS SIGNED) AS unsafe, CAST(18446744073709551615 AS UNSIGNED) AS huge',
      ),
    ).resolves.toEqual({ safe: 9007199254740991, unsafe: '9007199254740993', huge: '18446744073709551615' });
    const [rows] = await pool.execute('SELECT CAST(? AS UNSIGNED) AS id', ['9007199254740993']);
    expect(rows).toEqual([{ id: '9007199254740993' }]);
  });

  test('a JSON column is text on either engine, also in a prepared statement', async () => {
    await pool.query('CREATE TABLE documents (id INT PRIMARY KEY, document JSON)');
    await pool.query('INSERT INTO documents VALUES (1, ?)', ['{"a":[1,2]}']);
    const { document } = await one('SELECT document FROM documents');
    expect(JSON.parse(document as string)).toEqual({ a: [1, 2] });
    const [rows] = await pool.execute('SELECT document FROM documents WHERE id = ?', [1]);
    expect(typeof (rows as Row[])[0]?.document).toBe('string');
  });

  test('any character comes back as it went', async () => {
    await expect(one('SELECT ? AS text', ['ä€😀'])).resolves.toEqual({ text: 'ä€😀' });
  });
});

describe('bounds', () => {
  test('what waits for a connection is bounded, measured, and refused when full', async () => {
    const registry = new Registry();
    const small = createPool(database.url, { connectionLimit: 1, queueLimit: 1, metrics: { registry, pool: 'small' } });
    try {
      const held = await small.getConnection();
      const waiting = small.query('SELECT 1');
      await expect(small.query('SELECT 1')).rejects.toThrow(/Queue limit/);
      const text = await registry.metrics();
      expect(text).toMatch(/^mysql_pool_small_connections\{state="used"\} 1$/m);
      expect(text).toMatch(/^mysql_pool_small_connections\{state="waiting"\} 1$/m);
      held.release();
      await waiting;
      await eventually(async () => expect(await registry.metrics()).toMatch(/\{state="idle"\} 1$/m));
    } finally {
      await small.end();
    }
  });

  test('several statements in one query are refused, unless asked for', async () => {
    await expect(pool.query('SELECT 1; SELECT 2')).rejects.toThrow(/syntax/);
  });
});

test('a statement that waits for a locked row gives up after the pool’s own bound', async () => {
  const impatient = createPool(database.url, { connectionLimit: 1, lockWaitSeconds: 0.2 });
  const holder = await pool.getConnection();
  try {
    await holder.query('CREATE TABLE locked (id INT PRIMARY KEY) ENGINE=InnoDB');
    await holder.query('INSERT INTO locked VALUES (1)');
    await holder.query('START TRANSACTION');
    await holder.query('SELECT * FROM locked WHERE id = 1 FOR UPDATE');
    await expect(impatient.query('DELETE FROM locked WHERE id = 1')).rejects.toMatchObject({ errno: 1205 });
    await expect(one('SELECT @@innodb_lock_wait_timeout AS seconds', [], impatient)).resolves.toEqual({ seconds: 1 });
  } finally {
    await holder.query('ROLLBACK');
    holder.release();
    await impatient.end();
  }
});

test('a lost connection fails what was under way and is replaced by the next use', async () => {
  const proxy = await startTcpProxy(database.url);
  const through = createPool(proxy.url, { connectionLimit: 1 });
  try {
    await one('SELECT 1', [], through);
    const slow = through.query('SELECT SLEEP(60)');
    slow.catch(() => {});
    await eventually(async () => {
      const { n } = await one(
        "SELECT COUNT(*) AS n FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'",
      );
      return n === 1;
    });
    proxy.cut();
    await expect(slow).rejects.toThrow();
    await eventually(async () => (await one('SELECT 1 AS ok', [], through)).ok === 1);
  } finally {
    await through.end();
    await proxy.close();
  }
});

test('a server that takes the connection and says nothing is given up on', async () => {
  const proxy = await startTcpProxy(database.url);
  await proxy.stall();
  const through = createPool(proxy.url, { connectTimeoutMs: 100 });
  try {
    await expect(through.query('SELECT 1')).rejects.toThrow(/ETIMEDOUT/);
  } finally {
    await proxy.close();
    await through.end();
  }
});

test('an address of another kind is refused, and its password is not repeated', () => {
  expect(() => createPool('postgres://user:secret@127.0.0.1/db')).toThrow(/expected mysql:/);
  expect(() => createPool('postgres://user:secret@127.0.0.1/db')).not.toThrow(/secret/);
});
