import { afterEach, expect, test } from '@jest/globals';
import { leaseTable, outboxTable, rowsOf } from '../schema.ts';
import { anEvent, type OutboxFixture, outboxFixture, recordAll } from '../testing/fixture.ts';
import { createMarker, markSql } from './marker.ts';
import { readPending } from './reader.ts';
import { createTurns } from './turns.ts';
import type { HeldRow } from './window.ts';

let fixture: OutboxFixture;

afterEach(async () => {
  await fixture?.close();
});

async function confirmedRows(token: string): Promise<HeldRow[]> {
  const parts = Array.from({ length: 16 }, (_, part) => part);
  const rows = await readPending(fixture.db, { parts, except: [], limit: 100 });
  return rows.map((row) => ({ ...row, token, state: 'confirmed', refusals: 0, ageAtReadMs: 0, readAtMs: 0 }));
}

const unpublished = () => rowsOf(fixture.db, `SELECT id FROM ${outboxTable} WHERE published = 0`);

function marker() {
  const marked: HeldRow[] = [];
  const fenced: HeldRow[] = [];
  const made = createMarker({
    db: fixture.db,
    owner: 'me',
    maxRows: 3,
    inTurn: createTurns(),
    onMarked: (rows) => void marked.push(...rows),
    onFenced: (rows) => void fenced.push(...rows),
    log: fixture.log,
  });
  return { made, marked, fenced };
}

test('only the owner with the present token marks; what another has marked meanwhile counts as marked', async () => {
  fixture = await outboxFixture('marker');
  await recordAll(
    fixture.db,
    Array.from({ length: 10 }, (_, n) => anEvent(`k${n}`)),
  );
  await fixture.db.query(`UPDATE ${leaseTable} SET owner = 'me', token = 5`);
  const stale = marker();
  for (const row of await confirmedRows('4')) stale.made.add(row);
  await stale.made.drained();
  expect([stale.marked.length, stale.fenced.length]).toEqual([0, 10]);
  expect(await unpublished()).toHaveLength(10);

  const present = marker();
  const rows = await confirmedRows('5');
  await fixture.db.query(`UPDATE ${outboxTable} SET published = 1 WHERE id = ?`, [rows[0]?.id]);
  for (const row of rows) present.made.add(row);
  await present.made.drained();
  expect([present.marked.length, present.fenced.length]).toEqual([10, 0]);
  expect(await unpublished()).toHaveLength(0);
});

test('marking waits for a take-over that is under way, and then marks nothing', async () => {
  fixture = await outboxFixture('takeover');
  await recordAll(fixture.db, [anEvent('a')]);
  await fixture.db.query(`UPDATE ${leaseTable} SET owner = 'me', token = 5`);
  const [row] = await confirmedRows('5');
  const taker = await fixture.db.getConnection();
  await taker.query('START TRANSACTION');
  await taker.query(`UPDATE ${leaseTable} SET owner = 'you', token = 6 WHERE part = ?`, [row?.part]);
  const { made, marked, fenced } = marker();
  made.add(row as HeldRow);
  await taker.query('DO SLEEP(0.1)');
  expect([marked.length, fenced.length]).toEqual([0, 0]);
  await taker.query('COMMIT');
  taker.release();
  await made.drained();
  expect([marked.length, fenced.length]).toEqual([0, 1]);
  expect(await unpublished()).toHaveLength(1);
});

test('whoever takes a lease over waits for the marks that are under way', async () => {
  fixture = await outboxFixture('marking');
  await recordAll(fixture.db, [anEvent('a')]);
  await fixture.db.query(`UPDATE ${leaseTable} SET owner = 'me', token = 5`);
  const rows = await confirmedRows('5');
  const [marking, taking] = [await fixture.db.getConnection(), await fixture.db.getConnection()];
  try {
    await marking.query('START TRANSACTION');
    const { sql, values } = markSql('me', rows);
    const [result] = await marking.query(sql, values);
    expect(result).toMatchObject({ affectedRows: 1 });
    await taking.query('SET SESSION innodb_lock_wait_timeout = 1');
    const take = `UPDATE ${leaseTable} SET owner = 'you', token = 6 WHERE part = ?`;
    await expect(taking.query(take, [rows[0]?.part])).rejects.toMatchObject({ code: 'ER_LOCK_WAIT_TIMEOUT' });
    await marking.query('COMMIT');
    await taking.query(take, [rows[0]?.part]);
  } finally {
    marking.destroy();
    taking.destroy();
  }
});
