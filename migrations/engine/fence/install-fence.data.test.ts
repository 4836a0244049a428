import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { fenceErrno } from '@strangler/platform/contracts/fence-refusal.ts';
import { installOutbox } from '@strangler/platform/outbox/schema.ts';
import type { Connection } from 'mysql2/promise';
import { planCapture } from '../capture/capture-plan.ts';
import { findDrift } from '../capture/drift.ts';
import { installCapture, removeCapture } from '../capture/install-capture.ts';
import { TableBusyError } from '../capture/lock-table.ts';
import { quoteName } from '../schema/identifiers.ts';
import { rowsOf } from '../schema/queryable.ts';
import { findFenceDrift } from './drift.ts';
import { fenceTriggerName, planFence } from './fence-plan.ts';
import { presentPass, readFence } from './fence-state.ts';
import { answerOf, type FencedDatabase, fencedDatabase, slice } from './fenced.fixture.ts';
import { installFence, removeFence } from './install-fence.ts';

let db: FencedDatabase;
let writer: Connection;

const tables = ['item', 'own`quoted'];
const refused = String(fenceErrno);
const initially = { state: 'open', epoch: 1, owner: 'monolith' } as const;
const install = async (names = tables, state: 'open' | 'closed' = 'open') =>
  installFence(
    db.pool,
    { slice, database: db.name, initially: { ...initially, state }, plans: await db.plans(names) },
    { tries: 3 },
  );
const remove = () => removeFence(db.pool, { slice, database: db.name });
const drift = async (names = tables) =>
  (await findFenceDrift(db.pool, db.name, slice, await db.plans(names))).map(({ kind, table }) => `${kind} ${table}`);
const done = (outcomes: readonly { table: string; done: string }[]) =>
  outcomes.map(({ table, done: what }) => `${table} ${what}`).sort();

/** All that an owner of the database can see of it. */
const likeness = async (): Promise<string> => {
  const facts: unknown[] = [await rowsOf(db.pool, 'SHOW GRANTS'), await rowsOf(db.pool, 'SHOW TABLES')];
  for (const table of tables) facts.push(await rowsOf(db.pool, `SHOW CREATE TABLE ${quoteName(table)}`));
  facts.push(await rowsOf(db.pool, 'SHOW TRIGGERS'));
  return JSON.stringify(facts);
};

beforeAll(async () => {
  db = await fencedDatabase('fence_install');
  writer = await db.writer();
  await writer.query('CREATE TABLE item (id INT PRIMARY KEY, n INT)');
  await writer.query('CREATE TABLE `own``quoted` (`a``b` INT PRIMARY KEY, `select` VARCHAR(9))');
  await writer.query('CREATE TRIGGER theirs BEFORE INSERT ON item FOR EACH ROW SET @tried = NEW.id');
  await writer.query('CREATE TRIGGER theirs_too BEFORE INSERT ON item FOR EACH ROW SET NEW.n = NEW.n + 1');
});
afterAll(() => db.drop());

describe('the fence', () => {
  test('leaves the database exactly as it was when it is removed, open or closed', async () => {
    const before = await likeness();
    expect(await remove()).toEqual([]);
    for (const state of ['open', 'closed'] as const) {
      expect(done(await install(tables, state))).toEqual(['item created', 'own`quoted created']);
      expect(await readFence(db.pool, slice)).toMatchObject({ state, epoch: 1, owner: 'monolith' });
      const answer = await answerOf(writer, 'INSERT INTO `own``quoted` VALUES (1, 2)');
      expect(answer).toBe(state === 'open' ? 'ok 1' : refused);
      expect(done(await remove())).toEqual(['item dropped', 'own`quoted dropped']);
      expect(await likeness()).toBe(before);
    }
    expect(await presentPass(writer, slice)).toBe('no-fence');
    await writer.query('DELETE FROM `own``quoted`');
  });

  test('asks before any other trigger of the table, which leave no trace of what is refused', async () => {
    await install();
    await db.close();
    expect(await answerOf(writer, 'INSERT INTO item VALUES (1, 1)')).toBe(refused);
    expect(await rowsOf(writer, 'SELECT @tried AS tried')).toEqual([{ tried: null }]);
    await db.open();
    expect(await answerOf(writer, 'INSERT INTO item VALUES (1, 1)')).toBe('ok 1');
    expect(await rowsOf(writer, 'SELECT id, n, @tried AS tried FROM item')).toEqual([{ id: 1, n: 2, tried: 1 }]);
    const name = fenceTriggerName(slice, 'item', 'INSERT');
    await writer.query(
      `CREATE TRIGGER eager BEFORE INSERT ON item FOR EACH ROW PRECEDES ${quoteName(name)} SET @e = 1`,
    );
    expect(await drift()).toEqual(['altered item']);
    expect(done(await install())).toEqual(['item replaced', 'own`quoted unchanged']);
    expect(await drift()).toEqual([]);
    await writer.query('DROP TRIGGER eager');
  });

  test('asks first also where a table’s triggers come back to it by way of another table', async () => {
    await remove();
    await writer.query('CREATE TABLE circle (id INT PRIMARY KEY)');
    await writer.query(
      'CREATE TRIGGER go AFTER INSERT ON item FOR EACH ROW UPDATE circle SET id = id WHERE id = NEW.id',
    );
    await writer.query(
      `CREATE TRIGGER come BEFORE UPDATE ON circle FOR EACH ROW
       BEGIN DECLARE found INT; SELECT n INTO found FROM item WHERE id = NEW.id LOCK IN SHARE MODE; END`,
    );
    try {
      await install();
      expect(await drift()).toEqual([]);
    } finally {
      await writer.query('DROP TRIGGER go');
      await writer.query('DROP TABLE circle');
    }
  });

  test('stays as it is, epoch, state and pass, when it is installed again', async () => {
    await install();
    const { fence } = await db.close();
    const applier = await db.applier();
    expect(done(await install())).toEqual(['item unchanged', 'own`quoted unchanged']);
    expect(await readFence(db.pool, slice)).toEqual(fence);
    expect(await answerOf(applier, 'UPDATE item SET n = n + 1')).toBe('ok 1');
    expect(done(await install(['item']))).toEqual(['item unchanged', 'own`quoted dropped']);
    await db.open();
  });

  test('tells what has become of it: a trigger dropped, one changed by hand, a stray, no row', async () => {
    await remove();
    expect(new Set(await drift())).toEqual(new Set(['missing item', 'missing own`quoted', 'missing strangler_fence']));
    await install();
    expect(await drift()).toEqual([]);
    const [plan] = await db.plans(['item']);
    const [insert, update] = plan!.triggers;
    await writer.query(`DROP TRIGGER ${quoteName(insert!.name)}`);
    expect(await drift()).toEqual(['missing item']);
    await install();
    await writer.query(`DROP TRIGGER ${quoteName(update!.name)}`);
    await writer.query(`SET sql_mode = 'STRICT_ALL_TABLES'`);
    await writer.query(update!.createSql.replace(`state = 'open'`, '1 = 1'));
    expect(await drift()).toEqual(['altered item']);
    await install();
    expect(await drift()).toEqual([]);
    expect(await drift(['item'])).toEqual(Array(3).fill('stray own`quoted'));
    await writer.query('DELETE FROM strangler_fence');
    expect(await drift()).toEqual(['missing strangler_fence']);
    await install();
    expect(await drift()).toEqual([]);
  });

  test('waits for a transaction that wrote before it, and gives up in bounds', async () => {
    await remove();
    const slow = await db.writer();
    await slow.beginTransaction();
    await slow.query('UPDATE item SET n = 100');
    await expect(install(tables, 'closed')).rejects.toThrow(TableBusyError);
    const installing = install(tables, 'closed');
    await slow.commit();
    await installing;
    expect(await answerOf(slow, 'UPDATE item SET n = 101')).toBe(refused);
    await db.open();
  });

  test('of one slice knows nothing of the fence of another', async () => {
    await install(['item']);
    await installFence(db.pool, {
      slice: 'other',
      database: db.name,
      initially: { ...initially, state: 'closed' },
      plans: [planFence({ slice: 'other', table: await db.table('own`quoted') })],
    });
    expect(await answerOf(writer, 'UPDATE item SET n = 5')).toMatch(/^ok/);
    expect(await answerOf(writer, 'INSERT INTO `own``quoted` VALUES (9, 9)')).toBe(refused);
    await removeFence(db.pool, { slice: 'other', database: db.name });
    expect(await answerOf(writer, 'INSERT INTO `own``quoted` VALUES (9, 9)')).toBe('ok 1');
    expect(await drift(['item'])).toEqual([]);
  });

  test('and capture stand side by side: what is refused is not captured, and the pipe is let through uncaptured', async () => {
    await install();
    await installOutbox(db.pool);
    const plans = await Promise.all(
      tables.map(async (name) => {
        const source = await db.table(name);
        const captured = source.columns.map((column) => column.name);
        return planCapture({ slice, source, dialect: db.server.dialect, captured });
      }),
    );
    await installCapture(db.pool, { slice, database: db.name, epoch: 1, plans });
    const captured = async () =>
      (await rowsOf<{ n: number }>(db.pool, 'SELECT COUNT(*) AS n FROM strangler_outbox'))[0]!.n;
    const before = await captured();
    expect(await answerOf(writer, 'REPLACE INTO item VALUES (1, 5)')).toMatch(/^ok/);
    const after = await captured();
    expect(after).toBeGreaterThan(before);
    // MariaDB's rules for tables of triggers under LOCK TABLES.
    await writer.query('LOCK TABLES item WRITE');
    expect(await answerOf(writer, 'REPLACE INTO item VALUES (1, 6)')).toMatch(/^ok/);
    expect(await answerOf(writer, 'INSERT INTO item VALUES (1, 7) ON DUPLICATE KEY UPDATE n = 7')).toMatch(/^ok/);
    await writer.query('UNLOCK TABLES');
    const later = await captured();
    await db.close();
    expect(await answerOf(writer, 'REPLACE INTO item VALUES (1, 8)')).toBe(refused);
    const applier = await db.applier();
    expect(await answerOf(applier, 'REPLACE INTO item VALUES (1, 9)')).toMatch(/^ok/);
    expect(await captured()).toBe(later);
    expect(await drift()).toEqual([]);
    expect(await findDrift(db.pool, db.name, slice, plans)).toEqual([]);
    await removeCapture(db.pool, { slice, database: db.name });
    expect(await drift()).toEqual([]);
    await db.open();
  });
});

test('what no trigger sees the fence does not see: foreign-key cascades and TRUNCATE, which preflight is there to refuse', async () => {
  await writer.query('CREATE TABLE parent (id INT PRIMARY KEY)');
  await writer.query(
    'CREATE TABLE child (id INT PRIMARY KEY, parent_id INT, FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE CASCADE)',
  );
  await writer.query('INSERT INTO parent VALUES (1)');
  await writer.query('INSERT INTO child VALUES (1, 1), (2, NULL)');
  await install(['item', 'child']);
  await db.close();
  expect(await answerOf(writer, 'DELETE FROM child')).toBe(refused);
  expect(await answerOf(writer, 'DELETE FROM parent')).toBe('ok 1');
  expect(await rowsOf(writer, 'SELECT id FROM child')).toEqual([{ id: 2 }]);
  expect(await answerOf(writer, 'TRUNCATE TABLE child')).toBe('ok 0');
  expect(await rowsOf(writer, 'SELECT id FROM child')).toEqual([]);
  await db.open();
});
