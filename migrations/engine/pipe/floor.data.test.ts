import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { type Connection, createConnection } from 'mysql2/promise';
import { installTargetTables, positionsTable } from '../apply/own-tables.ts';
import { readPosition } from '../apply/positions.ts';
import { type CapturedDatabase, capturedDatabase, slice } from '../capture/capture-fixture.ts';
import { rowsOf } from '../schema/queryable.ts';
import { applyConsumerName } from './apply-consumer.ts';
import { FloorBusyError, markFloor } from './floor.ts';

let db: CapturedDatabase;
let writer: Connection;

/** The source stands for the target as well: positions are tables of their own. */
const mark = (waitSeconds?: number) =>
  markFloor({
    ...{ source: db.pool, target: db.pool, slice, tables: ['item'], epoch: 1 },
    ...(waitSeconds === undefined ? {} : { waitSeconds }),
  });
const floor = async () => (await readPosition(db.pool, applyConsumerName(slice), 'none'))?.id;
const highest = async () =>
  (await rowsOf<{ id: string }>(db.pool, `SELECT CAST(MAX(id) AS CHAR) AS id FROM ${outboxTable}`))[0]?.id;

beforeAll(async () => {
  db = await capturedDatabase('floor');
  await installTargetTables(db.pool);
  writer = await db.writer();
  await writer.query('CREATE TABLE item (id INT PRIMARY KEY, n INT)');
  await db.capture({ item: 'all' });
});
afterAll(() => db.drop());

test('no floor stands while a transaction from before it may still commit, and none when it takes too long', async () => {
  const slow = await db.writer();
  await slow.beginTransaction();
  await slow.query('INSERT INTO item VALUES (1, 1)');
  await writer.query('INSERT INTO item VALUES (2, 1)');
  await expect(mark(1)).rejects.toThrow(FloorBusyError);
  expect(await floor()).toBeUndefined();

  const before = await highest();
  let marked = false;
  const marking = mark().then(() => {
    marked = true;
  });
  expect([marked, await floor()]).toEqual([false, undefined]);
  await slow.commit();
  await marking;
  expect(await floor()).toBe(before);
});

test('a deadlock with whoever marks the same rows is not taken for a transaction that does not end', async () => {
  await db.pool.query(`DELETE FROM ${positionsTable}`);
  await writer.query('INSERT INTO item VALUES (11, 1)');
  const first = await highest();
  // Of the same key, so that it is read after the first.
  await writer.query('UPDATE item SET n = 2 WHERE id = 11');
  const second = await highest();
  const admin = await createConnection({ uri: db.adminUrl });
  const marker = await db.writer();
  await marker.beginTransaction();
  // Of more weight than a read, which therefore is the one that is ended.
  await marker.query(`UPDATE ${outboxTable} SET published = 1 WHERE id = ?`, [second]);
  const marking = mark();
  await eventually(async () => {
    const sql = "SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'";
    expect(await rowsOf(admin, sql)).not.toEqual([]);
  });
  await admin.end();
  await marker.query(`UPDATE ${outboxTable} SET published = 1 WHERE id = ?`, [first]);
  await marker.commit();
  await marking;
  expect(await floor()).toBe(second);
});

test('a floor that stands is left where it is', async () => {
  const before = await floor();
  await writer.query('UPDATE item SET n = n + 1');
  await mark();
  expect(await floor()).toBe(before);
});
