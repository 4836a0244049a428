import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually } from '../testing/servers.ts';
import { forgetApplied, readApplied, requireApplied, tellApplied } from './applied.ts';
import { onConnection } from './execute.ts';
import { record } from './record.ts';
import { readPartitions, rotate } from './rotation.ts';
import { outboxTable, rowsOf } from './schema.ts';
import { anEvent, type OutboxFixture, outboxFixture, recordAll } from './testing/fixture.ts';

let fixture: OutboxFixture;

afterEach(async () => {
  await fixture?.close();
});

const options = { horizonMs: 0, rowsPerPartition: 10, partitionsAhead: 2 };

const events = (count: number) => Array.from({ length: count }, (_, n) => anEvent(`k${n % 5}`));
const publish = (where = 'TRUE') => fixture.db.query(`UPDATE ${outboxTable} SET published = 1 WHERE ${where}`);
const partitions = async () => (await readPartitions(fixture.db)).map(({ name }) => name);
const ids = async () =>
  (await rowsOf<{ id: number }>(fixture.db, `SELECT id FROM ${outboxTable} ORDER BY id`)).map(({ id }) => id);

/** An open transaction that has recorded an event. */
async function openWriter() {
  const connection = await fixture.db.getConnection();
  await connection.query('START TRANSACTION');
  await record(anEvent('late'), onConnection(connection));
  return {
    commit: async () => {
      await connection.query('COMMIT');
      connection.release();
    },
  };
}

test('partitions stand ready ahead of the counter, again and again, and every insert finds one', async () => {
  fixture = await outboxFixture('ahead', options);
  expect(await partitions()).toEqual(['p_below_10', 'p_below_20', 'p_rest']);
  await recordAll(fixture.db, events(12));
  expect(await rotate(fixture.db, options)).toMatchObject({ added: ['p_below_30', 'p_below_40'] });
  expect(await rotate(fixture.db, options)).toMatchObject({ added: [] });
  // Far beyond all of them: the last partition takes it, and is then split.
  await recordAll(fixture.db, events(60));
  const outcome = await rotate(fixture.db, options);
  expect(outcome.left.filter(({ what }) => what === 'p_rest')).toEqual([]);
  expect(await partitions()).toEqual([
    'p_below_10',
    'p_below_20',
    'p_below_30',
    'p_below_40',
    'p_below_80',
    'p_below_90',
    'p_below_100',
    'p_rest',
  ]);
  expect(await ids()).toHaveLength(72);
});

test('too many rows are not moved while writers wait; that is told', async () => {
  fixture = await outboxFixture('move', options);
  await recordAll(fixture.db, events(60));
  expect(await rotate(fixture.db, { ...options, maxRowsToMove: 20 })).toMatchObject({
    added: [],
    left: expect.arrayContaining([{ what: 'p_rest', why: 'too many rows to move' }]),
  });
});

describe('a partition is dropped', () => {
  test('only when all in it is published and old enough', async () => {
    fixture = await outboxFixture('drop', options);
    await recordAll(fixture.db, events(35));
    expect((await rotate(fixture.db, options)).dropped).toEqual([]);
    await publish('id <> 15');
    expect(await rotate(fixture.db, { ...options, horizonMs: 3_600_000 })).toMatchObject({
      dropped: [],
      left: [{ what: 'p_below_10', why: 'rows too young' }],
    });
    expect(await rotate(fixture.db, options)).toMatchObject({
      dropped: ['p_below_10'],
      left: [{ what: 'p_below_20', why: 'rows not published' }],
    });
    expect((await ids())[0]).toBe(10);
    await publish();
    expect((await rotate(fixture.db, options)).dropped).toEqual(['p_below_20']);
    // The one with the highest id stays, or a restarted server might count from 1 again.
    expect((await ids())[0]).toBe(20);
    await recordAll(fixture.db, events(1));
    expect((await ids()).at(-1)).toBeGreaterThan(35);
  });

  test('only when every slice that is captured has applied what is in it, in every part', async () => {
    fixture = await outboxFixture('applied', options);
    await recordAll(fixture.db, events(35));
    await publish();
    await fixture.db.query(`UPDATE ${outboxTable} SET kind = 'row'`);
    await fixture.db.query(`UPDATE ${outboxTable} SET topic = 'other.thing.upsert' WHERE id IN (4, 9)`);
    await requireApplied(fixture.db, 'shop');
    const left = { dropped: [], left: [{ what: 'p_below_10', why: 'rows not applied', slice: 'shop' }] };
    expect(await rotate(fixture.db, options)).toMatchObject(left);
    const newest = await rowsOf<{ part: number; id: string }>(
      fixture.db,
      `SELECT part, CAST(MAX(id) AS CHAR) AS id FROM ${outboxTable} WHERE id < 10 AND topic LIKE 'shop.%' GROUP BY part`,
    );
    await tellApplied(fixture.db, 'shop', newest.slice(1));
    expect(await rotate(fixture.db, options)).toMatchObject(left);
    const [{ part, id }] = newest as [{ part: number; id: string }];
    await tellApplied(fixture.db, 'shop', [{ part, id }]);
    await tellApplied(fixture.db, 'shop', [{ part, id: '1' }]);
    expect(await rotate(fixture.db, options)).toMatchObject({
      dropped: ['p_below_10'],
      left: [{ what: 'p_below_20', why: 'rows not applied', slice: 'shop' }],
    });
    // Who comes a second time finds what it told; who is gone keeps nothing back and cannot come back by telling.
    await requireApplied(fixture.db, 'shop');
    expect(await readApplied(fixture.db)).toContainEqual({ slice: 'shop', part, id });
    await forgetApplied(fixture.db, 'shop');
    await tellApplied(fixture.db, 'shop', newest);
    expect(await readApplied(fixture.db)).toEqual([]);
    expect((await rotate(fixture.db, options)).dropped).toEqual(['p_below_20']);
  });

  test('never while a transaction that has written is open, and never with what that one commits', async () => {
    fixture = await outboxFixture('open', options);
    await recordAll(fixture.db, events(3));
    const late = await openWriter();
    await recordAll(fixture.db, events(20));
    await publish();
    expect(await rotate(fixture.db, options)).toMatchObject({
      dropped: [],
      left: expect.arrayContaining([{ what: 'p_below_10', why: 'table in use' }]),
    });
    // Commits while a rotation waits for it, which then sees its row.
    const rotating = rotate(fixture.db, options);
    await eventually(async () => {
      const waiting = await rowsOf(
        fixture.db,
        "SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() AND state LIKE 'Waiting for table%'",
      );
      return waiting.length > 0;
    });
    await late.commit();
    expect(await rotating).toMatchObject({
      dropped: [],
      left: expect.arrayContaining([{ what: 'p_below_10', why: 'rows not published' }]),
    });
    expect(await ids()).toContain(4);
  });
});

test('under many writers and other rotations nothing is lost and no write fails', async () => {
  fixture = await outboxFixture('busy', options);
  let written = 0;
  let going = true;
  const writers = Array.from({ length: 4 }, async () => {
    while (going) {
      await recordAll(fixture.db, events(3));
      written += 3;
    }
  });
  const rotators = Array.from({ length: 2 }, async () => {
    while (going) await rotate(fixture.db, { ...options, rowsPerPartition: 50, horizonMs: 3_600_000 });
  });
  await eventually(() => written > 600, { withinMs: 60_000 });
  going = false;
  await Promise.all([...writers, ...rotators]);
  expect(await ids()).toHaveLength(written);
  expect((await partitions()).length).toBeGreaterThan(5);
});
