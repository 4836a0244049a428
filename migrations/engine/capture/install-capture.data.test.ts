import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { partCount } from '@strangler/platform/contracts/row-message.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import { readApplied } from '@strangler/platform/outbox/applied.ts';
import { dropOutbox, installOutbox } from '@strangler/platform/outbox/schema.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import type { Connection } from 'mysql2/promise';
import { quoteName } from '../schema/identifiers.ts';
import { rowsOf } from '../schema/queryable.ts';
import { type CapturedDatabase, capturedDatabase, slice } from './capture-fixture.ts';
import { type CapturePlan, planCapture } from './capture-plan.ts';
import { EpochError, setEpoch } from './capture-state.ts';
import { findDrift } from './drift.ts';
import { installCapture, removeCapture } from './install-capture.ts';
import { TableBusyError } from './lock-table.ts';

let db: CapturedDatabase;
let writer: Connection;

const tables = ['item', 'own`quoted'];
const planOf = async (name: string, captured?: readonly string[], of = slice): Promise<CapturePlan> => {
  const source = await db.table(name);
  const columns = captured ?? source.columns.map((column) => column.name);
  return planCapture({ slice: of, source, dialect: db.server.dialect, captured: columns });
};
const plans = () => Promise.all(tables.map((name) => planOf(name)));
const install = async (of?: readonly CapturePlan[], epoch = 1) =>
  installCapture(db.pool, { slice, database: db.name, epoch, plans: of ?? (await plans()) }, { tries: 3 });
const remove = () => removeCapture(db.pool, { slice, database: db.name });
const drift = async (of?: readonly CapturePlan[]) =>
  (await findDrift(db.pool, db.name, slice, of ?? (await plans()))).map(({ kind, table }) => `${kind} ${table}`);

/** All that an owner of the database can see of it. */
const likeness = async (): Promise<string> => {
  const facts: unknown[] = [await rowsOf(db.pool, 'SHOW GRANTS'), await rowsOf(db.pool, 'SHOW TABLES')];
  for (const table of tables) facts.push(await rowsOf(db.pool, `SHOW CREATE TABLE ${quoteName(table)}`));
  facts.push(await rowsOf(db.pool, 'SHOW TRIGGERS'));
  facts.push(await rowsOf(db.pool, 'SHOW PROCEDURE STATUS WHERE Db = DATABASE()'));
  return JSON.stringify(facts);
};

beforeAll(async () => {
  db = await capturedDatabase('install');
  writer = await db.writer();
  await writer.query('CREATE TABLE item (id INT PRIMARY KEY, n INT, label VARCHAR(10))');
  await writer.query('CREATE TABLE `own``quoted` (`a``b` INT PRIMARY KEY, `select` VARCHAR(9), `sp ace"\'\\é` INT)');
  await writer.query('CREATE TRIGGER theirs AFTER INSERT ON item FOR EACH ROW SET @theirs = NEW.id');
});
afterAll(() => db.drop());

describe('capture', () => {
  test('leaves the source exactly as it was when it is removed', async () => {
    await dropOutbox(db.pool);
    const before = await likeness();
    await installOutbox(db.pool);
    expect((await install()).map(({ table, done }) => `${table} ${done}`)).toEqual([
      'item created',
      'own`quoted created',
    ]);
    expect(await likeness()).not.toBe(before);
    // What it has captured stays in the outbox until it is applied.
    expect((await readApplied(db.pool)).map((mark) => mark.slice)).toEqual(Array(partCount).fill(slice));
    await writer.query('INSERT INTO item VALUES (1, 1, NULL)');
    expect((await remove()).map(({ table, done }) => `${table} ${done}`).sort()).toEqual([
      'item dropped',
      'own`quoted dropped',
    ]);
    expect(await readApplied(db.pool)).toEqual([]);
    await dropOutbox(db.pool);
    expect(await likeness()).toBe(before);
    expect(await remove()).toEqual([]);
    await installOutbox(db.pool);
  });

  test('takes names with quotes, reserved words and backslashes as they are', async () => {
    await install();
    await db.take();
    await writer.query('INSERT INTO `own``quoted` VALUES (?, ?, ?)', [1, 'x', 2]);
    const [message] = await db.take();
    expect(message).toMatchObject({
      table: 'own`quoted',
      key: { 'a`b': '1' },
      image: { 'a`b': '1', select: 'x', 'sp ace"\'\\é': '2' },
    });
  });

  test('is left alone where it is right, and replaced where the slice file asks for other columns', async () => {
    await install();
    expect((await install()).map(({ done }) => done)).toEqual(['unchanged', 'unchanged']);
    const fewer = [await planOf('item', ['id', 'n']), await planOf(tables[1]!)];
    expect(await drift(fewer)).toEqual(['outdated item', 'outdated item']);
    expect((await install(fewer)).map(({ done }) => done)).toEqual(['replaced', 'unchanged']);
    expect(await drift(fewer)).toEqual([]);
    const [only] = fewer;
    expect((await install([only!])).map(({ table, done }) => `${table} ${done}`)).toEqual([
      'item unchanged',
      'own`quoted dropped',
    ]);
  });

  test('of one slice knows nothing of the capture of another', async () => {
    await install();
    await db.take();
    const other = [await planOf('item', undefined, 'other')];
    await installCapture(db.pool, { slice: 'other', database: db.name, epoch: 7, plans: other });
    await writer.query('INSERT INTO item VALUES (50, 1, NULL)');
    const told = (await db.take()).map((message) => `${message.slice} ${message.version.epoch}`);
    expect(told.sort()).toEqual(['other 7', 'shop 1']);
    await removeCapture(db.pool, { slice: 'other', database: db.name });
    expect(await drift()).toEqual([]);
  });

  test('tells what has become of it: a trigger dropped, one changed by hand, a table altered, a stray, no epoch', async () => {
    await remove();
    expect(new Set(await drift())).toEqual(
      new Set(['missing item', 'missing own`quoted', 'missing strangler_capture']),
    );
    await install();
    expect(await drift()).toEqual([]);

    const [plan] = await plans();
    const [insert, update] = plan!.triggers;
    await writer.query(`DROP TRIGGER ${quoteName(insert!.name)}`);
    expect(await drift()).toEqual(['missing item']);
    await install();

    await writer.query(`DROP TRIGGER ${quoteName(update!.name)}`);
    await writer.query(`SET sql_mode = 'STRICT_ALL_TABLES'`);
    await writer.query(update!.createSql.replace(`'{"key":'`, `'{ "key":'`));
    expect(await drift()).toEqual(['altered item']);
    await install();
    expect(await drift()).toEqual([]);

    await writer.query('ALTER TABLE item MODIFY label VARCHAR(10) CHARACTER SET latin1');
    expect(await drift()).toEqual(['outdated item', 'outdated item']);
    await writer.query('ALTER TABLE item MODIFY label VARCHAR(10) CHARACTER SET utf8mb4');
    await install();

    expect(await drift([plan!])).toEqual(['stray own`quoted', 'stray own`quoted', 'stray own`quoted']);
    await writer.query('DELETE FROM strangler_capture');
    expect(await drift()).toEqual(['missing strangler_capture']);
    await install();
  });

  test('takes a new epoch from the next change on, and never an older one', async () => {
    await install(undefined, 4);
    await db.take();
    await writer.query('REPLACE INTO item VALUES (2, 2, NULL)');
    await setEpoch(db.pool, slice, 5);
    await writer.query('UPDATE item SET n = n + 1 WHERE id = 2');
    const versions = (await db.take()).map(({ version }) => version.epoch);
    expect([versions[0], versions.at(-1)]).toEqual([4, 5]);
    await expect(setEpoch(db.pool, slice, 4)).rejects.toThrow(EpochError);
    await expect(install(undefined, 4)).rejects.toThrow('expected an epoch of at least 5');
    await setEpoch(db.pool, slice, 5);
  });

  test('waits for a transaction that has written, misses nothing of those that come later, and gives up in bounds', async () => {
    await remove();
    const slow = await db.writer();
    await slow.beginTransaction();
    await slow.query('UPDATE item SET n = 100 WHERE id = 2');
    await expect(install(undefined, 5)).rejects.toThrow(TableBusyError);
    await expect(install(undefined, 5)).rejects.toThrow(/item: expected its lock within 3 tries/);
    expect(await rowsOf(db.pool, `SHOW TRIGGERS LIKE 'item'`)).toHaveLength(1);

    const installed = installCapture(db.pool, { slice, database: db.name, epoch: 5, plans: await plans() });
    await slow.commit();
    await installed;
    await db.take();
    await slow.query('UPDATE item SET n = 101 WHERE id = 2');
    await eventually(async () => (await db.take()).length === 1);
  });

  test('lets writers of tables that are joined through when they try again, however often it is put there and taken away', async () => {
    await writer.query('CREATE TABLE parent (id INT PRIMARY KEY, n INT NOT NULL)');
    await writer.query(
      'CREATE TABLE child (id INT AUTO_INCREMENT PRIMARY KEY, parent INT NOT NULL, FOREIGN KEY (parent) REFERENCES parent (id))',
    );
    await writer.query('INSERT INTO parent VALUES (1, 0), (2, 0), (3, 0), (4, 0)');
    const joined = [await planOf('parent'), await planOf('child')];
    const writers = createPool(db.url, { connectionLimit: 4 });
    const stopping = new AbortController();
    let written = 0;
    const write = async (parent: number) => {
      while (!stopping.signal.aborted) {
        // With foreign keys between them no order of locks is free of deadlocks with a trigger that is being made.
        await withTransaction(
          writers,
          'READ COMMITTED',
          async (connection) => {
            await connection.query('UPDATE parent SET n = n + 1 WHERE id = ?', [parent]);
            await connection.query('INSERT INTO child (parent) VALUES (?)', [parent]);
          },
          { maxAttempts: 20 },
        );
        written += 1;
      }
    };
    const writing = Promise.all([1, 2, 3, 4].map(write));
    // Whoever is deadlocked ends it all, also where nobody waits for the writers yet.
    writing.catch(() => stopping.abort());
    for (let round = 0; round < 5; round += 1) {
      const before = written;
      await installCapture(db.pool, { slice, database: db.name, epoch: 9, plans: joined });
      await removeCapture(db.pool, { slice, database: db.name });
      await eventually(() => stopping.signal.aborted || written > before + 20);
    }
    stopping.abort();
    await writing;
    await writers.end();
    const rows = await rowsOf<{ n: number; children: number }>(
      db.pool,
      'SELECT n, (SELECT COUNT(*) FROM child WHERE parent = parent.id) AS children FROM parent',
    );
    expect(rows.every(({ n, children }) => n === children)).toBe(true);
  });
});
