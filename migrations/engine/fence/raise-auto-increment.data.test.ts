import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { TableBusyError } from '../capture/lock-table.ts';
import { type FencedDatabase, fencedDatabase } from './fenced.fixture.ts';
import {
  allottingColumns,
  defaultMargin,
  type KeyAllotter,
  KeysExhaustedError,
  raiseAutoIncrement,
  readNextKey,
} from './raise-auto-increment.ts';

let source: FencedDatabase;
let target: FencedDatabase;
let theirs: Connection;
let ours: Connection;

beforeAll(async () => {
  source = await fencedDatabase('keys_source');
  target = await fencedDatabase('keys_target');
  theirs = await source.writer();
  ours = await target.writer();
});
afterAll(async () => {
  await source.drop();
  await target.drop();
});
beforeEach(async () => {
  for (const session of [theirs, ours]) {
    await session.query('DROP TABLE IF EXISTS item');
    await session.query(
      `CREATE TABLE item (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, n INT) COMMENT = ') ENGINE=x AUTO_INCREMENT=77'`,
    );
  }
});

const allotter = async (db: FencedDatabase, name = 'item'): Promise<KeyAllotter> => ({
  pool: db.pool,
  table: await db.table(name),
  column: 'id',
});
const raise = async (margin?: bigint) =>
  raiseAutoIncrement(await allotter(target), await allotter(source), margin, { tries: 2 });
const insert = async (session: Connection, id: number | null = null): Promise<number> => {
  const [result] = await session.query('INSERT INTO item VALUES (?, 1)', [id]);
  return (result as { insertId: number }).insertId;
};

test('keys of the target begin a margin above those of the source, once, and never go back', async () => {
  await insert(theirs, 5000);
  await theirs.query('DELETE FROM item');
  expect(await raise()).toMatchObject({ done: 'raised', ownNext: 1n, othersNext: 5001n, next: 5001n + defaultMargin });
  expect(await raise()).toMatchObject({ done: 'enough', next: 5001n + defaultMargin });
  expect(await insert(ours)).toBe(6001);
  expect(await raise(10n)).toMatchObject({ done: 'enough', next: 6002n });
  // What the source has allotted in a transaction that was given up is gone all the same.
  await theirs.beginTransaction();
  await theirs.query('INSERT INTO item VALUES (9000, 1)');
  await theirs.rollback();
  expect(await raise(10n)).toMatchObject({ done: 'raised', othersNext: 9001n, next: 9011n });
  expect(await insert(ours)).toBe(9011);
});

test('what the server tells of keys in its statistics is not asked, for it is of yesterday', async () => {
  await theirs.query(
    `SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'item'`,
  );
  for (let n = 0; n < 20; n += 1) await insert(theirs);
  expect(await readNextKey(source.pool, await allotter(source))).toBe(21n);
  expect(await raise(0n)).toMatchObject({ done: 'raised', next: 21n });
});

test('keys beyond 2^53 keep every digit, and a column that cannot hold the margin is refused before anything is changed', async () => {
  await theirs.query('INSERT INTO item VALUES (9007199254740993, 1)');
  expect(await raise(2n)).toMatchObject({ next: 9007199254740996n });
  await ours.query('ALTER TABLE item MODIFY id SMALLINT AUTO_INCREMENT');
  const failed = raise();
  await expect(failed).rejects.toThrow(KeysExhaustedError);
  await expect(failed).rejects.toThrow(/item\.id: expected room for keys from 9007199254741994 on, .* ends at 32767/);
});

test('a table whose writer does not end is left alone', async () => {
  await insert(ours);
  await insert(theirs, 500);
  await ours.beginTransaction();
  await ours.query('UPDATE item SET n = 2');
  await expect(raise()).rejects.toThrow(TableBusyError);
  await ours.rollback();
  expect(await insert(ours)).toBe(2);
  expect(await raise()).toMatchObject({ done: 'raised' });
});

test('only a key that is allotted on both sides is raised', async () => {
  for (const session of [theirs, ours]) {
    await session.query('DROP TABLE IF EXISTS pair');
    await session.query('CREATE TABLE pair (shop INT, id INT AUTO_INCREMENT, PRIMARY KEY (shop, id), KEY (id))');
  }
  const [from, to] = [await source.table('pair'), await target.table('pair')];
  const mapping = { key: ['shop', 'id'], targetKey: ['shop', 'id'] };
  expect(allottingColumns(mapping, from, to)).toEqual({ source: 'id', target: 'id' });
  expect(allottingColumns({ ...mapping, targetKey: ['id', 'shop'] }, from, to)).toBeNull();
  expect(allottingColumns({ key: ['shop'], targetKey: ['shop'] }, from, to)).toBeNull();
  await theirs.query('INSERT INTO pair VALUES (1, 40)');
  const [keyFrom, keyTo] = [await allotter(source, 'pair'), await allotter(target, 'pair')];
  expect(await raiseAutoIncrement(keyTo, keyFrom, 5n)).toMatchObject({ next: 46n });
});
