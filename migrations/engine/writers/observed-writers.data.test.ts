import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type CapturedDatabase, capturedDatabase, slice } from '../capture/capture-fixture.ts';
import { observedWriters } from './observed-writers.ts';

let db: CapturedDatabase;
beforeAll(async () => {
  db = await capturedDatabase('writers');
  await db.pool.query('CREATE TABLE item (id INT PRIMARY KEY, n INT)');
  await db.pool.query('CREATE TABLE line (id INT PRIMARY KEY, n INT)');
  await db.capture({ item: 'all', line: 'all' });
});
afterAll(() => db.drop());

describe('the writers of a slice', () => {
  test('are told by user, host and route, most changes first, with the tables that they wrote', async () => {
    const writer = await db.writer();
    await writer.query('INSERT INTO item VALUES (1, 1), (2, 2)');
    for (const id of [1, 2]) {
      await writer.query('SET @strangler_request = ?', [`PUT /api/items/${id}?dry=1`]);
      await writer.query('UPDATE item SET n = n + 1 WHERE id = ?', [id]);
      await writer.query('INSERT INTO line VALUES (?, 1)', [id]);
    }
    await writer.query(`SET @strangler_request = 'job nightly'`);
    await writer.query('DELETE FROM line WHERE id = 1');
    const found = await observedWriters(db.pool, { slice });
    const { user, host } = found[0]!;
    expect([user, host === '']).toEqual([db.name, false]);
    expect(found.map(({ request, tables, changes }) => ({ request, tables, changes }))).toEqual([
      { request: 'PUT /api/items/:n', tables: ['item', 'line'], changes: 4 },
      { request: null, tables: ['item'], changes: 2 },
      { request: 'job nightly', tables: ['line'], changes: 1 },
    ]);
    expect(found.every(({ firstAt, lastAt }) => firstAt <= lastAt)).toBe(true);
  });

  test('of another slice, or of older changes than those looked at, are not told', async () => {
    expect(await observedWriters(db.pool, { slice: 'sho' })).toEqual([]);
    expect(await observedWriters(db.pool, { slice: 'sho_' })).toEqual([]);
    const [newest] = await observedWriters(db.pool, { slice, newest: 1 });
    expect(newest).toMatchObject({ request: 'job nightly', changes: 1 });
  });
});
