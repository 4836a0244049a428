import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import mysql, { type Connection, type Pool } from 'mysql2/promise';
import { runInRequest } from '../http/request-context.ts';
import { createLog } from '../log.ts';
import { createPool } from '../mysql/pool.ts';
import { createSequelize } from '../mysql/sequelize.ts';
import { type FreshDatabase, freshDatabase } from '../testing/servers.ts';
import { type Execute, onConnection, onSequelize } from './execute.ts';
import { once, pruneInbox } from './inbox.ts';
import { partOf, partSql } from './part.ts';
import { EventError, record } from './record.ts';
import {
  dropOutbox,
  installInbox,
  installOutbox,
  OutboxSchemaError,
  outboxTable,
  rowsOf,
  sourceUuid,
} from './schema.ts';
import { anEvent } from './testing/fixture.ts';

let database: FreshDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await freshDatabase('outbox');
  pool = createPool(database.url);
  await installOutbox(pool);
  await installInbox(pool);
});

afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

/** In one transaction, which is committed or, when `fn` throws, rolled back. */
async function transaction<T>(fn: (execute: Execute) => Promise<T>): Promise<T> {
  const connection = await pool.getConnection();
  try {
    await connection.query('START TRANSACTION');
    const result = await fn(onConnection(connection));
    await connection.query('COMMIT');
    return result;
  } catch (error) {
    await connection.query('ROLLBACK');
    throw error;
  } finally {
    connection.release();
  }
}

describe('the part of a key', () => {
  test('is the same in SQL and here for any text, whatever the session’s character set', async () => {
    const texts = fc.sample(fc.tuple(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })), 300);
    const utf8 = await mysql.createConnection({ uri: database.url, charset: 'utf8mb4' });
    const latin1 = await mysql.createConnection({ uri: database.url, charset: 'latin1' });
    const partsBy = async (connection: Connection, pairs: [string, string][], value: (text: string) => string) => {
      const each = pairs.map(([subject, key]) => `SELECT ${partSql(value(subject), value(key))} AS part`);
      return (await rowsOf<{ part: number }>(connection, each.join(' UNION ALL '))).map(({ part }) => part);
    };
    const hex = (text: string) => `CONVERT(X'${Buffer.from(text).toString('hex')}' USING utf8mb4)`;
    try {
      expect(await partsBy(utf8, texts, hex)).toEqual(texts.map(([subject, key]) => partOf(subject, key)));
      const western: [string, string][] = [
        ['tënant', 'clé'],
        ['a', ''],
        ['', 'ÿ'],
      ];
      expect(await partsBy(latin1, western, (text) => latin1.escape(text))).toEqual(
        western.map(([subject, key]) => partOf(subject, key)),
      );
    } finally {
      await utf8.end();
      await latin1.end();
    }
  });
});

describe('the tables', () => {
  test('installed twice stay as they are', async () => {
    const before = await sourceUuid(pool);
    await installOutbox(pool);
    await installInbox(pool);
    expect(await sourceUuid(pool)).toBe(before);
    expect(await rowsOf(pool, 'SELECT part FROM strangler_outbox_lease')).toHaveLength(16);
  });

  test('are not made over another table of that name', async () => {
    const other = await freshDatabase('outbox-other');
    const db = createPool(other.url);
    try {
      await db.query(`CREATE TABLE ${outboxTable} (id INT PRIMARY KEY, note TEXT)`);
      await expect(installOutbox(db)).rejects.toThrow(OutboxSchemaError);
      await expect(installOutbox(db)).rejects.toThrow(/found id, note/);
      await db.query(`DROP TABLE ${outboxTable}`);
      await installOutbox(db);
      await dropOutbox(db);
      expect(await rowsOf(db, 'SHOW TABLES')).toEqual([]);
      await dropOutbox(db);
    } finally {
      await db.end();
      await other.drop();
    }
  });
});

describe('record', () => {
  test('writes the event in the caller’s transaction, with the trace of the request: all or nothing', async () => {
    const context = {
      requestId: 'r-1',
      traceparent: '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01',
      traceId: '0123456789abcdef0123456789abcdef',
      spanId: '0123456789abcdef',
    };
    const id = await runInRequest(context, () => transaction((execute) => record(anEvent('kept'), execute)));
    const failed = transaction(async (execute) => {
      await record(anEvent('undone'), execute);
      throw new Error('no');
    });
    await expect(failed).rejects.toThrow('no');
    const rows = await rowsOf<Record<string, unknown>>(pool, `SELECT * FROM ${outboxTable}`);
    expect(rows).toHaveLength(1);
    const [row] = rows;
    expect(row).toMatchObject({ part: partOf('thing', 'kept'), published: 0, epoch: 1, kind: 'event', op: 'changed' });
    expect(row).toMatchObject({ topic: 'shop.thing.changed', subject: 'thing', subject_key: Buffer.from('kept') });
    expect(JSON.parse(String(row?.payload))).toMatchObject({ id, type: 'thing.changed', key: 'kept' });
    expect(JSON.parse(String(row?.headers))).toEqual({ traceparent: context.traceparent, request_id: 'r-1' });
  });

  test('takes a Sequelize transaction too, whatever stands in the texts', async () => {
    const sequelize = createSequelize(database.url, { log: createLog({ name: 'test', level: 'silent' }) });
    const data = { text: `it's "quoted" ? :name $1 \\ 😀 \u0000` };
    try {
      await sequelize.transaction((open) => record(anEvent('sequelized ? :key', data), onSequelize(sequelize, open)));
    } finally {
      await sequelize.close();
    }
    const [row] = await rowsOf<{ payload: string }>(
      pool,
      `SELECT payload FROM ${outboxTable} WHERE subject = 'thing' AND subject_key = ?`,
      ['sequelized ? :key'],
    );
    expect(JSON.parse(row?.payload ?? '{}').data).toEqual(data);
  });

  test('refuses a malformed event, naming every fault, and writes nothing', async () => {
    const bad = { ...anEvent(''), slice: 'Sh op', type: 'placed', schemaVersion: 0 };
    const statements: string[] = [];
    const failed = record(bad, async (sql) => void statements.push(sql));
    await expect(failed).rejects.toThrow(EventError);
    await expect(failed).rejects.toThrow(/slice: .*; type: .*; schemaVersion: .*; key: /);
    expect(statements).toEqual([]);
  });
});

describe('the inbox', () => {
  test('lets an effect happen once, and again only if it was rolled back', async () => {
    let effects = 0;
    const handle = (id: string, fails = false) =>
      transaction((execute) =>
        once(execute, 'shop', id, async () => {
          effects += 1;
          if (fails) throw new Error('no');
          return effects;
        }),
      );
    await expect(handle('m1', true)).rejects.toThrow('no');
    expect(await handle('m1')).toEqual({ outcome: 'done', result: 2 });
    expect(await handle('m1')).toEqual({ outcome: 'handled before' });
    expect(await transaction((execute) => once(execute, 'other', 'm1', async () => 'own'))).toMatchObject({
      outcome: 'done',
    });
    expect(effects).toBe(2);
  });

  test('of many deliveries at a time lets one happen', async () => {
    let effects = 0;
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, () =>
        transaction((execute) =>
          once(execute, 'shop', 'same', async () => {
            effects += 1;
            await execute('DO SLEEP(0.02)', []);
          }),
        ),
      ),
    );
    expect(effects).toBe(1);
    expect(outcomes.filter(({ outcome }) => outcome === 'done')).toHaveLength(1);
  });

  test('forgets only what is older than told, a bounded number at a time', async () => {
    await pool.query('DELETE FROM strangler_inbox');
    for (let n = 0; n < 5; n += 1)
      await pool.query('INSERT INTO strangler_inbox VALUES (?, ?, UTC_TIMESTAMP(6) - INTERVAL ? HOUR)', [
        'shop',
        `m${n}`,
        n,
      ]);
    expect(await pruneInbox(pool, 1.5 * 3_600_000, 2)).toBe(2);
    expect(await pruneInbox(pool, 1.5 * 3_600_000, 2)).toBe(1);
    expect(await pruneInbox(pool, 1.5 * 3_600_000, 2)).toBe(0);
    expect(await rowsOf(pool, 'SELECT message_id FROM strangler_inbox ORDER BY message_id')).toEqual([
      { message_id: 'm0' },
      { message_id: 'm1' },
    ]);
  });
});
