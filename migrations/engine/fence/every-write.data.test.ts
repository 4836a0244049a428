import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { fenceErrno, readFenceRefusal } from '@strangler/platform/contracts/fence-refusal.ts';
import type { Connection } from 'mysql2/promise';
import { rowsOf } from '../schema/queryable.ts';
import { presentPass } from './fence-state.ts';
import { answerOf, type FencedDatabase, fencedDatabase, slice } from './fenced.fixture.ts';

let db: FencedDatabase;
let writer: Connection;

const refused = String(fenceErrno);

/** All rows of the fenced tables, and of those that one statement may write with them. */
const content = async (): Promise<string> =>
  JSON.stringify(
    await Promise.all(['item', 'line', 'free'].map((name) => rowsOf(db.pool, `SELECT * FROM ${name} ORDER BY 1, 2`))),
  );

beforeAll(async () => {
  db = await fencedDatabase('fence_writes');
  writer = await db.writer();
  await writer.query('CREATE TABLE item (id INT AUTO_INCREMENT PRIMARY KEY, sku VARCHAR(20) NOT NULL UNIQUE, n INT)');
  await writer.query(
    'CREATE TABLE line (id INT, at INT, n INT, PRIMARY KEY (id, at)) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (10), PARTITION b VALUES LESS THAN MAXVALUE)',
  );
  await writer.query('CREATE TABLE free (id INT PRIMARY KEY, n INT)');
  await db.fence(['item', 'line']);
});
afterAll(() => db.drop());
beforeEach(async () => {
  await db.open();
  for (const name of ['item', 'line', 'free']) await writer.query(`DELETE FROM ${name}`);
  await writer.query(`INSERT INTO item VALUES (1, 'a', 10), (2, 'b', 20)`);
  await writer.query('INSERT INTO line VALUES (1, 1, 5), (20, 1, 5)');
  await writer.query('INSERT INTO free VALUES (1, 1), (3, 3)');
});

const statements = [
  `INSERT INTO item VALUES (9, 'z', 1)`,
  `INSERT INTO item VALUES (9, 'z', 1), (10, 'y', 1), (11, 'x', 1)`,
  `INSERT IGNORE INTO item VALUES (9, 'z', 1), (10, 'y', 1)`,
  `INSERT INTO item VALUES (1, 'a', 1) ON DUPLICATE KEY UPDATE n = 77`,
  `INSERT IGNORE INTO item VALUES (1, 'q', 1) ON DUPLICATE KEY UPDATE sku = 'b', n = 77`,
  `INSERT INTO item (sku, n) SELECT CONCAT('s', id), n FROM free`,
  `INSERT IGNORE INTO item (sku, n) SELECT CONCAT('s', id), n FROM free`,
  `REPLACE INTO item VALUES (1, 'b', 99)`,
  `REPLACE INTO line SELECT id, 1, n FROM free`,
  'UPDATE item SET n = n + 1',
  'UPDATE IGNORE item SET n = n + 1',
  'UPDATE item SET n = n',
  `UPDATE IGNORE item SET sku = 'a'`,
  'UPDATE line SET n = n + 1 WHERE id = 20',
  'UPDATE line SET id = id + 10 WHERE id = 1',
  'UPDATE item JOIN free USING (id) SET item.n = 8, free.n = 8',
  'UPDATE IGNORE free JOIN item USING (id) SET item.n = 8, free.n = 8',
  'DELETE FROM item',
  'DELETE FROM line PARTITION (b)',
  'DELETE IGNORE FROM item WHERE id = 1',
  'DELETE item, free FROM item JOIN free USING (id)',
  'DELETE IGNORE free, item FROM free JOIN item USING (id)',
  'WITH few AS (SELECT 1 AS id) DELETE item FROM item JOIN few USING (id)',
];

describe('a closed fence refuses', () => {
  test.each(statements)('%s', async (sql) => {
    if (sql.startsWith('WITH') && db.server.dialect === 'mariadb') return;
    await db.close();
    const before = await content();
    for (const mode of ['', 'STRICT_ALL_TABLES', 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES']) {
      await writer.query(`SET sql_mode = '${mode}'`);
      for (const level of ['READ UNCOMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']) {
        await writer.query(`SET SESSION TRANSACTION ISOLATION LEVEL ${level}`);
        expect([mode, level, await answerOf(writer, sql)]).toEqual([mode, level, refused]);
      }
    }
    expect(await content()).toBe(before);
    await writer.query('SET sql_mode = DEFAULT');
    await writer.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    // And lets it through when it is open again.
    await db.open();
    expect(await answerOf(writer, sql)).toMatch(/^ok \d/);
  });

  test('a prepared statement, one in a procedure that handles errors, and one in an event of another trigger', async () => {
    await writer.query(`CREATE PROCEDURE sly() BEGIN
      DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET @seen = 1;
      INSERT INTO item VALUES (50, 'sly', 1); UPDATE item SET n = 0; DELETE FROM line; END`);
    await writer.query('CREATE TRIGGER sideways AFTER INSERT ON free FOR EACH ROW UPDATE item SET n = NEW.n');
    try {
      await db.close();
      const before = await content();
      await expect(writer.execute('UPDATE item SET n = ? WHERE id = ?', [5, 1])).rejects.toMatchObject({
        errno: fenceErrno,
      });
      await writer.query('CALL sly()');
      expect(await answerOf(writer, 'INSERT INTO free VALUES (7, 7)')).toBe(refused);
      expect(await content()).toBe(before);
    } finally {
      await writer.query('DROP PROCEDURE sly');
      await writer.query('DROP TRIGGER sideways');
    }
  });

  test('LOAD DATA, also where it skips rows or replaces them', async () => {
    const [setting] = await rowsOf<{ before: number }>(db.admin, 'SELECT @@GLOBAL.local_infile AS `before`');
    const loader = await db.writer({ flags: ['+LOCAL_FILES'] });
    const load = (how: string) =>
      loader.query({
        sql: `LOAD DATA LOCAL INFILE 'rows' ${how} INTO TABLE item FIELDS TERMINATED BY ',' (id, sku, n)`,
        infileStreamFactory: () => Readable.from([Buffer.from('40,l1,1\n41,l2,2\n')]),
      });
    try {
      await db.admin.query('SET GLOBAL local_infile = 1');
      await db.close();
      const before = await content();
      for (const how of ['', 'IGNORE', 'REPLACE']) {
        await expect(load(how)).rejects.toMatchObject({ errno: fenceErrno });
      }
      expect(await content()).toBe(before);
    } finally {
      await db.admin.query(`SET GLOBAL local_infile = ${setting!.before}`);
    }
  });

  test('with a message that tells slice, epoch, owner and what to do, however long the name is', async () => {
    const outcome = await db.close();
    expect(outcome).toMatchObject({ kind: 'moved', fence: { state: 'closed', owner: 'service' }, preparedSeen: true });
    const error = await writer.query('DELETE FROM item').catch((found: unknown) => found);
    expect(error).toMatchObject({
      errno: fenceErrno,
      sqlState: '45000',
      message: `strangler fence: shop epoch ${outcome.fence.epoch}, owner service: closed, write to the owner or retry`,
    });
    expect(readFenceRefusal(Object.assign(new Error('seen from above'), { cause: error }))).toEqual({
      slice,
      epoch: outcome.fence.epoch,
      owner: 'service',
      because: 'closed',
    });
  });

  test('nothing but the fenced tables: reads, other tables, statements that find no row', async () => {
    await db.close();
    expect(await answerOf(writer, 'UPDATE free SET n = 5')).toBe('ok 2');
    expect(await answerOf(writer, 'DELETE FROM item WHERE id = 999')).toBe('ok 0');
    expect(await rowsOf(writer, 'SELECT id FROM item ORDER BY id FOR UPDATE')).toHaveLength(2);
  });
});

describe('whoever is let through', () => {
  test('is a session of the pipe that has presented the present pass, and no other', async () => {
    await db.close();
    const applier = await db.applier();
    expect(await answerOf(applier, 'UPDATE item SET n = n + 1')).toBe('ok 2');
    expect(await answerOf(applier, `REPLACE INTO item VALUES (3, 'c', 1)`)).toBe('ok 1');

    await writer.query('SET @strangler_apply = 1');
    expect(await answerOf(writer, 'UPDATE item SET n = 0')).toBe(refused);
    await writer.query(`SET @strangler_pass = 'guess'`);
    expect(await answerOf(writer, 'UPDATE item SET n = 0')).toBe(refused);
    await writer.query(`SET @strangler_pass = ''`);
    const error = await writer.query('UPDATE item SET n = 0').catch((found: unknown) => found);
    expect(readFenceRefusal(error)).toMatchObject({ because: 'pass' });
    // The pass alone does nothing: such a session would be captured.
    await presentPass(writer, slice);
    await writer.query('SET @strangler_apply = NULL');
    expect(await answerOf(writer, 'UPDATE item SET n = 0')).toBe(refused);
    await writer.query('SET @strangler_pass = NULL');
  });

  test('is not a session of an earlier closing, until it has read the new pass', async () => {
    const closing = await db.close();
    const applier = await db.applier();
    // Closing again under the same epoch changes nothing for it.
    await db.close({ epoch: closing.fence.epoch });
    expect(await answerOf(applier, 'UPDATE item SET n = n + 1')).toBe('ok 2');
    await db.open();
    await db.close();
    expect(await answerOf(applier, 'UPDATE item SET n = n + 1')).toBe(refused);
    expect(await presentPass(applier, slice)).toBe('presented');
    expect(await answerOf(applier, 'UPDATE item SET n = n + 1')).toBe('ok 2');
  });

  test('is not the pipe while the fence is open: the rows are those of who owns them', async () => {
    await db.close();
    const applier = await db.applier();
    await db.open();
    for (const present of [false, true]) {
      if (present) expect(await presentPass(applier, slice)).toBe('no-fence');
      const error = await applier.query('UPDATE item SET n = 0').catch((found: unknown) => found);
      expect(readFenceRefusal(error)).toMatchObject({ because: 'owned', owner: 'monolith' });
    }
    expect(await answerOf(writer, 'UPDATE item SET n = 0')).toBe('ok 2');
  });
});

test('an account with rights on nothing but a fenced table writes while it is open, and is refused like any other', async () => {
  const poor = `${db.name}_p`.slice(-32);
  await db.admin.query(`CREATE USER '${poor}'@'%' IDENTIFIED BY 'Only-4-this-table'`);
  await db.admin.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON \`${db.name}\`.item TO '${poor}'@'%'`);
  try {
    const session = await db.writer({ user: poor, password: 'Only-4-this-table' });
    expect(await answerOf(session, 'UPDATE item SET n = n + 1')).toBe('ok 2');
    await db.close();
    expect(await answerOf(session, 'UPDATE item SET n = n + 1')).toBe(refused);
    // It cannot read the pass.
    await expect(presentPass(session, slice)).rejects.toMatchObject({ errno: 1142 });
  } finally {
    await db.admin.query(`DROP USER '${poor}'@'%'`);
  }
});

test('a row of the fence that somebody has taken away shuts the tables', async () => {
  const [row] = await rowsOf<Record<string, unknown>>(db.pool, 'SELECT * FROM strangler_fence');
  await db.pool.query('DELETE FROM strangler_fence');
  const error = await writer.query('DELETE FROM item').catch((found: unknown) => found);
  expect((error as Error).message).toBe('strangler fence: shop has no row in strangler_fence');
  await expect(db.close()).rejects.toThrow(/shop: expected its row in strangler_fence, found none/);
  await db.pool.query('INSERT INTO strangler_fence SET ?', [row]);
});
