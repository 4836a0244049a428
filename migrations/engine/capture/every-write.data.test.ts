import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { partOf, type RowMessage } from '@strangler/platform/contracts/row-message.ts';
import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import type { Connection } from 'mysql2/promise';
import mysql from 'mysql2/promise';
import { rowsOf } from '../schema/queryable.ts';
import { type CapturedDatabase, capturedDatabase, slice as ownSlice } from './capture-fixture.ts';

let db: CapturedDatabase;
let writer: Connection;

beforeAll(async () => {
  db = await capturedDatabase('every_write');
  writer = await db.writer();
  await writer.query(
    'CREATE TABLE item (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, sku VARCHAR(20) NOT NULL UNIQUE, n INT, unseen INT)',
  );
  await writer.query('CREATE TABLE line (order_id INT, at INT, qty INT NOT NULL, PRIMARY KEY (order_id, at))');
  await writer.query(
    'CREATE TABLE mark (order_id INT, at INT, n INT, PRIMARY KEY (order_id, at), FOREIGN KEY (order_id, at) REFERENCES line (order_id, at))',
  );
  await db.capture({ item: ['id', 'sku', 'n'], line: 'all', mark: 'all' });
});
afterAll(() => db.drop());
beforeEach(async () => {
  await writer.query('DELETE FROM item');
  await writer.query('DELETE FROM mark');
  await writer.query('DELETE FROM line');
  await writer.query(`INSERT INTO item (id, sku, n) VALUES (1, 'a', 10), (2, 'b', 20), (3, 'c', 30)`);
  await db.take();
});

/** `upsert 1 {…}` for each, in order; the key's text and what the image holds beside the key. */
const told = (messages: readonly RowMessage[]): string[] =>
  messages.map(({ op, table, keyText, image }) => {
    const { id: _id, order_id: _order, at: _at, ...rest } = image ?? {};
    return `${table} ${op} ${keyText}${image === null ? '' : ` ${Object.values(rest).join(' ')}`}`;
  });

const run = async (sql: string): Promise<string[]> => {
  await writer.query(sql);
  return told(await db.take());
};

describe('every committed change has exactly one outbox row', () => {
  test('of a statement of several rows', async () => {
    expect(await run(`INSERT INTO item (id, sku, n) VALUES (4, 'd', 1), (5, 'e', NULL)`)).toEqual([
      'item upsert 4 d 1',
      'item upsert 5 e ',
    ]);
    expect(await run('UPDATE item SET n = 0 WHERE id <= 2')).toEqual(['item upsert 1 a 0', 'item upsert 2 b 0']);
    expect(await run('DELETE FROM item WHERE id IN (1, 4)')).toEqual(['item delete 1', 'item delete 4']);
  });

  test('of an INSERT … SELECT', async () => {
    const found = await run(`INSERT INTO item (id, sku, n) SELECT id + 10, CONCAT(sku, sku), n FROM item ORDER BY id`);
    expect(found).toEqual(['item upsert 11 aa 10', 'item upsert 12 bb 20', 'item upsert 13 cc 30']);
  });

  test('of a REPLACE: a delete of each row that it pushes out, then the new row', async () => {
    const found = await run(`REPLACE INTO item (id, sku, n) VALUES (1, 'b', 99)`);
    expect([...found].sort()).toEqual(['item delete 1', 'item delete 2', 'item upsert 1 b 99']);
    expect(found.at(-1)).toBe('item upsert 1 b 99');
  });

  test('of an INSERT … ON DUPLICATE KEY UPDATE, by the row that it found', async () => {
    const sql = `INSERT INTO item (id, sku, n) VALUES (7, 'b', 1), (8, 'x', 2) ON DUPLICATE KEY UPDATE n = 77`;
    expect(await run(sql)).toEqual(['item upsert 2 b 77', 'item upsert 8 x 2']);
  });

  test('of an INSERT IGNORE: of the rows that went in', async () => {
    expect(await run(`INSERT IGNORE INTO item (id, sku, n) VALUES (1, 'a', 0), (9, 'i', 9)`)).toEqual([
      'item upsert 9 i 9',
    ]);
  });

  test('of an UPDATE IGNORE: of the rows that it changed, with what was cut off', async () => {
    expect(await run(`UPDATE IGNORE item SET n = n + 1, sku = 'b' ORDER BY id`)).toEqual(['item upsert 2 b 21']);
    expect(await run(`UPDATE IGNORE item SET sku = REPEAT('x', 30) WHERE id = 3`)).toEqual([
      `item upsert 3 ${'x'.repeat(20)} 30`,
    ]);
    expect(await run('UPDATE IGNORE item SET id = id + 1 ORDER BY id')).toEqual([
      'item delete 3',
      `item upsert 4 ${'x'.repeat(20)} 30`,
    ]);
  });

  test('of a DELETE IGNORE: of the rows that went', async () => {
    expect(await run('INSERT INTO line VALUES (2, 1, 5)')).toHaveLength(1);
    expect(await run('INSERT INTO mark VALUES (2, 1, 1)')).toEqual(['mark upsert 2/1 1']);
    expect(await run('DELETE IGNORE FROM line')).toEqual([]);
    expect(await run('INSERT INTO line VALUES (2, 2, 5)')).toHaveLength(1);
    expect(await run('DELETE IGNORE FROM line')).toEqual(['line delete 2/2']);
  });

  test('of an UPDATE … JOIN and of a DELETE from several tables', async () => {
    expect(await run('INSERT INTO line VALUES (1, 1, 5), (2, 1, 6)')).toHaveLength(2);
    expect(await run('UPDATE item JOIN line ON order_id = id SET n = qty, qty = qty + 1')).toHaveLength(4);
    const found = await run('DELETE item, line FROM item JOIN line ON order_id = id');
    expect([...found].sort()).toEqual(['item delete 1', 'item delete 2', 'line delete 1/1', 'line delete 2/1']);
  });

  test('of a prepared statement', async () => {
    await writer.execute('UPDATE item SET n = ? WHERE id = ?', [5, 1]);
    await writer.execute('UPDATE item SET n = ? WHERE id = ?', [6, 2]);
    expect(told(await db.take())).toEqual(['item upsert 1 a 5', 'item upsert 2 b 6']);
  });

  test('of a stored procedure that walks a cursor', async () => {
    await writer.query('DROP PROCEDURE IF EXISTS raise');
    await writer.query(`CREATE PROCEDURE raise() BEGIN
      DECLARE done INT DEFAULT 0; DECLARE i INT; DECLARE c CURSOR FOR SELECT id FROM item ORDER BY id;
      DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1;
      OPEN c;
      l: LOOP FETCH c INTO i; IF done THEN LEAVE l; END IF; UPDATE item SET n = n + 1 WHERE id = i; END LOOP;
      CLOSE c;
    END`);
    expect(await run('CALL raise()')).toEqual(['item upsert 1 a 11', 'item upsert 2 b 21', 'item upsert 3 c 31']);
  });

  test('of a LOAD DATA, also where it skips rows or replaces them', async () => {
    const admin = await mysql.createConnection({ uri: db.adminUrl });
    const [setting] = await rowsOf<{ before: number }>(admin, 'SELECT @@GLOBAL.local_infile AS `before`');
    const loader = await db.writer({ flags: ['+LOCAL_FILES'] });
    const load = async (how: string, rows: string) => {
      await loader.query({
        sql: `LOAD DATA LOCAL INFILE 'rows' ${how} INTO TABLE item FIELDS TERMINATED BY ',' (id, sku, n)`,
        infileStreamFactory: () => Readable.from([Buffer.from(rows)]),
      });
      return told(await db.take());
    };
    try {
      await admin.query('SET GLOBAL local_infile = 1');
      expect(await load('', '40,l1,1\n41,l2,2\n')).toEqual(['item upsert 40 l1 1', 'item upsert 41 l2 2']);
      expect(await load('IGNORE', '1,z,0\n50,b,0\n42,l3,3\n')).toEqual(['item upsert 42 l3 3']);
      const replaced = await load('REPLACE', '1,b,99\n');
      expect([...replaced].sort()).toEqual(['item delete 1', 'item delete 2', 'item upsert 1 b 99']);
      expect(replaced.at(-1)).toBe('item upsert 1 b 99');
    } finally {
      await admin.query('SET GLOBAL local_infile = ?', [setting!.before]);
      await admin.end();
    }
  });

  test('of a table that is locked by its writer', async () => {
    await writer.query('LOCK TABLES item WRITE');
    await writer.query('UPDATE item SET n = 1 WHERE id = 1');
    await writer.query('UNLOCK TABLES');
    expect(told(await db.take())).toEqual(['item upsert 1 a 1']);
  });

  test('of a changed primary key: a delete of the old one and an upsert of the new one', async () => {
    expect(await run('UPDATE item SET id = 100 WHERE id = 1')).toEqual(['item delete 1', 'item upsert 100 a 10']);
    await writer.query('INSERT INTO line VALUES (1, 1, 1), (1, 2, 2)');
    await db.take();
    expect(await run('UPDATE line SET at = at + 1 WHERE order_id = 1 ORDER BY at DESC')).toEqual([
      'line delete 1/2',
      'line upsert 1/3 2',
      'line delete 1/1',
      'line upsert 1/2 1',
    ]);
  });

  test('of two unique values that are swapped', async () => {
    await writer.beginTransaction();
    await writer.query(`UPDATE item SET sku = '-' WHERE id = 1`);
    await writer.query(`UPDATE item SET sku = 'a' WHERE id = 2`);
    await writer.query(`UPDATE item SET sku = 'b' WHERE id = 1`);
    await writer.commit();
    expect(told(await db.take())).toEqual(['item upsert 1 - 10', 'item upsert 2 a 20', 'item upsert 1 b 10']);
  });
});

describe('nothing is in the outbox', () => {
  test('of a transaction that was rolled back, nor after a savepoint to which one went back', async () => {
    await writer.beginTransaction();
    await writer.query('UPDATE item SET n = 0');
    await writer.rollback();
    expect(await db.take()).toEqual([]);

    await writer.beginTransaction();
    await writer.query('UPDATE item SET n = 1 WHERE id = 1');
    await writer.query('SAVEPOINT here');
    await writer.query('UPDATE item SET n = 2 WHERE id = 2');
    await writer.query('ROLLBACK TO here');
    await writer.query('UPDATE item SET n = 3 WHERE id = 3');
    await writer.commit();
    expect(told(await db.take())).toEqual(['item upsert 1 a 1', 'item upsert 3 c 3']);
  });

  test('of a statement that failed at its last row', async () => {
    await expect(writer.query(`INSERT INTO item (id, sku) VALUES (50, 'x'), (51, 'y'), (1, 'z')`)).rejects.toThrow(
      /Duplicate entry/,
    );
    expect(await db.take()).toEqual([]);
  });

  test.each([
    ['a second unique key', `UPDATE IGNORE item SET sku = 'a' WHERE id = 2`],
    ['the primary key', 'UPDATE IGNORE item SET id = 1 WHERE id = 2'],
    ['the primary key of a row that is the same but for it', 'UPDATE IGNORE line SET at = 2 WHERE at = 1'],
    ['a foreign key of its own', 'UPDATE IGNORE mark SET at = 9 WHERE at = 1'],
    ['a foreign key of another table', 'UPDATE IGNORE line SET at = 9 WHERE at = 1'],
    ['a unique key, in several tables', `UPDATE IGNORE item JOIN line ON at = 1 SET sku = 'a' WHERE id = 2`],
    [
      'a unique key of the row it found',
      `INSERT IGNORE INTO item VALUES (2, 'q', 1, 1) ON DUPLICATE KEY UPDATE sku = 'a'`,
    ],
    ['a unique key, of INSERT', `INSERT IGNORE INTO item VALUES (2, 'q', 1, 1), (9, 'a', 1, 1)`],
    ['a foreign key, of INSERT', 'INSERT IGNORE INTO mark VALUES (8, 8, 8)'],
  ])('of a row that IGNORE has skipped because of %s, in and outside of a transaction', async (_why, sql) => {
    await writer.query('INSERT INTO line VALUES (1, 1, 5), (1, 2, 5)');
    await writer.query('INSERT INTO mark VALUES (1, 1, 5)');
    await db.take();
    expect(await run(sql)).toEqual([]);
    // Its snapshot is older than the rows that it skips.
    const other = await db.writer();
    await writer.beginTransaction();
    await writer.query('SELECT * FROM item, line, mark');
    await other.query('UPDATE item SET n = n + 1 WHERE id = 2');
    await other.query('DELETE FROM mark');
    await other.query('DELETE FROM line WHERE at = 1');
    await other.query('INSERT INTO line VALUES (1, 1, 5)');
    await other.query('INSERT INTO mark VALUES (1, 1, 5)');
    await db.take();
    await writer.query(sql);
    await writer.commit();
    expect(told(await db.take())).toEqual([]);
  });

  test('of an update that changed no captured column', async () => {
    expect(await run('UPDATE item SET unseen = 7')).toEqual([]);
    expect(await run('UPDATE item SET n = n')).toEqual([]);
    expect(await run(`UPDATE item SET n = 20, unseen = 8`)).toEqual(['item upsert 1 a 20', 'item upsert 3 c 20']);
  });

  test('of a session that applies what came through the pipe, whatever type it gave the variable', async () => {
    for (const value of ['1', `'1'`, 'TRUE']) {
      await writer.query(`SET @strangler_apply = ${value}`);
      expect(await run('UPDATE item SET n = n + 1')).toEqual([]);
    }
    for (const value of ['NULL', '0', `''`, `'no'`]) {
      await writer.query(`SET @strangler_apply = ${value}`);
      expect(await run('UPDATE item SET n = n + 1 WHERE id = 1')).toHaveLength(1);
    }
    await writer.query('SET @strangler_apply = NULL');
  });
});

test('what the pipe of another slice applies is a change of this side, and what a pipe of the own one applies is none', async () => {
  const update = 'UPDATE item SET n = n + 1 WHERE id = 1';
  for (const [slice, changes] of [
    [ownSlice, 0],
    [`${ownSlice}-other`, 1],
    [null, 0],
  ] as const) {
    await writer.query('SET @strangler_apply = 1, @strangler_slice = ?', [slice]);
    expect([slice, (await run(update)).length]).toEqual([slice, changes]);
  }
  // Of a session that applies nothing it says nothing.
  await writer.query('SET @strangler_apply = NULL, @strangler_slice = ?', [ownSlice]);
  expect(await run(update)).toHaveLength(1);
  await writer.query('SET @strangler_slice = NULL');
});

describe('an outbox row', () => {
  test('says who wrote, and for which request', async () => {
    await writer.query(`SET @strangler_request = 'PUT /api/items/"é"', @strangler_traceparent = '00-ab-cd-01'`);
    await writer.query('UPDATE item SET n = 1 WHERE id = 1');
    await writer.query('SET @strangler_request = NULL, @strangler_traceparent = NULL');
    await writer.query('UPDATE item SET n = 2 WHERE id = 1');
    const [asked, bare] = await db.take();
    expect(asked!.writer).toEqual({ user: expect.stringMatching(`^${db.name}@`), request: 'PUT /api/items/"é"' });
    expect(bare!.writer).toEqual({ user: expect.stringMatching(`^${db.name}@`) });
    const [headers] = await rowsOf<{ headers: string }>(db.pool, `SELECT headers FROM ${outboxTable} WHERE id = ?`, [
      asked!.version.id,
    ]);
    expect(JSON.parse(headers!.headers)).toMatchObject({ traceparent: '00-ab-cd-01' });
  });

  test('lies in the part and under the topic that its key and table call for, at the time of the statement', async () => {
    const [before] = await rowsOf<{ now: string }>(db.pool, 'SELECT CAST(UTC_TIMESTAMP(6) AS CHAR) AS now');
    await writer.query('INSERT INTO line VALUES (7, 8, 9)');
    const [row] = await rowsOf<Record<string, unknown>>(
      db.pool,
      `SELECT part, topic, kind, published, epoch, CAST(created_at AS CHAR) AS at FROM ${outboxTable} ORDER BY id DESC LIMIT 1`,
    );
    expect(row).toMatchObject({
      part: partOf('line', '7/8'),
      topic: 'shop.line.upsert',
      kind: 'row',
      published: 0,
      epoch: 1,
    });
    expect(String(row!.at) >= before!.now).toBe(true);
  });

  test('leaves what the writer asks its session about the statement as it was', async () => {
    const [inserted] = await writer.query(`INSERT INTO item (sku, n) VALUES ('auto', 1)`);
    const { insertId, affectedRows } = inserted as { insertId: number; affectedRows: number };
    const [last] = await rowsOf<{ id: number; id2: number }>(writer, 'SELECT LAST_INSERT_ID() AS id');
    expect([affectedRows, last!.id]).toEqual([1, insertId]);
    const [own] = await rowsOf<{ id: number }>(writer, `SELECT id FROM item WHERE sku = 'auto'`);
    expect(own!.id).toBe(insertId);
    const [updated] = await writer.query('UPDATE item SET n = n + 1');
    expect((updated as { changedRows: number }).changedRows).toBe(4);
  });
});
