import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { compareVersions } from '@strangler/platform/contracts/row-message.ts';
import type { Connection } from 'mysql2/promise';
import { rowsOf } from '../schema/queryable.ts';
import { type CapturedDatabase, capturedDatabase } from './capture-fixture.ts';

let db: CapturedDatabase;
beforeAll(async () => {
  db = await capturedDatabase('commit_order');
  await db.pool.query('CREATE TABLE item (id INT PRIMARY KEY, n INT NOT NULL)');
  await db.pool.query('INSERT INTO item VALUES (1, 0), (2, 0), (3, 0)');
  await db.capture({ item: 'all' });
});
afterAll(() => db.drop());

const deadlock = 1213;

/** Raises `n` of random rows in transactions that are slow to commit, some of which are rolled back. */
async function writeSlowly(connection: Connection, isolation: string, transactions: number): Promise<void> {
  await connection.query(`SET SESSION TRANSACTION ISOLATION LEVEL ${isolation}`);
  for (let done = 0; done < transactions; done += 1) {
    try {
      await connection.beginTransaction();
      for (let row = 0; row < 2; row += 1) {
        await connection.query('UPDATE item SET n = n + 1 WHERE id = ?', [1 + Math.floor(Math.random() * 3)]);
        await connection.query('DO SLEEP(?)', [Math.random() * 0.01]);
      }
      if (Math.random() < 0.2) await connection.rollback();
      else await connection.commit();
    } catch (error) {
      if ((error as { errno?: number }).errno !== deadlock) throw error;
    }
  }
}

test('the outbox ids of one row follow the order in which its changes were committed', async () => {
  const writers = await Promise.all(Array.from({ length: 6 }, () => db.writer()));
  await Promise.all(
    writers.map((writer, at) => writeSlowly(writer, at % 2 === 0 ? 'REPEATABLE READ' : 'READ COMMITTED', 25)),
  );
  const messages = await db.take();
  const rows = await rowsOf<{ id: number; n: number }>(db.pool, 'SELECT id, n FROM item');
  for (const { id, n } of rows) {
    const own = messages.filter(({ keyText }) => keyText === `${id}`);
    // Each committed change raised n by one, under the row's lock: n counts the commits of the row.
    expect(own.map(({ image }) => Number(image!.n))).toEqual(Array.from({ length: n }, (_, at) => at + 1));
    const versions = own.map(({ version }) => version);
    expect([...versions].sort(compareVersions)).toEqual(versions);
  }
  expect(messages).toHaveLength(rows.reduce((sum, { n }) => sum + n, 0));
});

test('rows that are deleted and inserted again keep the order of their commits', async () => {
  const writers = await Promise.all(Array.from({ length: 4 }, () => db.writer()));
  await db.pool.query('CREATE TABLE ticket (n INT NOT NULL)');
  await db.pool.query('INSERT INTO ticket VALUES (0)');
  await Promise.all(
    writers.map(async (writer) => {
      for (let done = 0; done < 20; done += 1) {
        await writer.beginTransaction();
        // Serialised by one row, so that the order of commits is known.
        await writer.query('UPDATE ticket SET n = n + 1');
        const [ticket] = await rowsOf<{ n: number }>(writer, 'SELECT n FROM ticket');
        if (ticket!.n % 2 === 0) await writer.query('INSERT INTO item VALUES (9, ?)', [ticket!.n]);
        else await writer.query('DELETE FROM item WHERE id = 9');
        await writer.commit();
      }
    }),
  );
  const messages = (await db.take()).filter(({ keyText }) => keyText === '9');
  const expected = Array.from({ length: 79 }, (_, at) => (at % 2 === 0 ? `upsert ${at + 2}` : 'delete'));
  expect(messages.map(({ op, image }) => (image === null ? op : `${op} ${image.n}`))).toEqual(expected);
});
