import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { Connection, PoolConnection } from 'mysql2/promise';
import { backfillTable } from '../apply/own-tables.ts';
import { openSides, type PipeSides } from '../apply/pipe.fixture.ts';
import { rowsOf } from '../schema/queryable.ts';
import { beginCheckpoint, type Checkpoint, readCheckpoint } from './checkpoint.ts';
import { type FullChunk, writeInOrder } from './write-in-order.ts';

let sides: PipeSides;
let from: Checkpoint;

beforeAll(async () => {
  sides = await openSides('in_order');
  await sides.target.query('CREATE TABLE words (id INT PRIMARY KEY, word VARCHAR(9) NULL)');
});

beforeEach(async () => {
  await sides.target.query('DELETE FROM words');
  await sides.target.query(`DELETE FROM ${backfillTable}`);
  from = await beginCheckpoint(sides.target, 'words', false);
});

afterAll(() => sides?.close());

const chunkOf = (id: number): FullChunk => ({
  rows: [{ keyText: `${id}`, json: `["${id}"]`, read: `["${id}"]` }],
  lastKey: [`${id}`],
  bytes: 1,
});

/** Inserts the chunk's row, and then does what the test wants of it. */
const ordered = (then: (id: number, connection: Connection) => Promise<unknown>) =>
  writeInOrder({
    target: sides.applyTarget,
    name: 'words',
    from,
    pass: { present: async () => {} },
    writer: {
      async write(connection, [row]) {
        const id = Number(row?.keyText);
        await connection.query('INSERT INTO words (id) VALUES (?)', [id]);
        await then(id, connection);
        return { written: 1, parked: 0 };
      },
    },
  });

const ids = async () =>
  (await rowsOf<{ id: number }>(sides.target, 'SELECT id FROM words ORDER BY id')).map(({ id }) => id);

/** Until some session waits for a lock that another has. */
const someoneWaits = (like: string) =>
  eventually(async () => {
    const found = await rowsOf<{ Info: string | null }>(sides.target, 'SHOW PROCESSLIST');
    return found.some(({ Info }) => Info?.includes(like));
  });

test('a chunk that is written first is committed after the one before it', async () => {
  const release = Promise.withResolvers<void>();
  const write = ordered((id) => (id === 1 ? release.promise : Promise.resolve()));
  const written = [write(chunkOf(1)), write(chunkOf(2))];
  await someoneWaits('FOR UPDATE');
  expect(await ids()).toEqual([]);
  expect((await readCheckpoint(sides.target, 'words'))?.lastKey).toBeNull();
  release.resolve();
  const [first, second] = await Promise.all(written);
  expect([first?.checkpoint.rowsWritten, second?.checkpoint.rowsWritten]).toEqual([1, 2]);
  expect(await readCheckpoint(sides.target, 'words')).toMatchObject({ lastKey: ['2'], rowsRead: 2, rowsWritten: 2 });
  expect(await ids()).toEqual([1, 2]);
  // Nothing but the table's own line has ever been there for others to see.
  expect(await rowsOf(sides.target, `SELECT table_name FROM ${backfillTable}`)).toEqual([{ table_name: 'words' }]);
});

test('a chunk that fails takes those after it with it, and those before it stay', async () => {
  const release = Promise.withResolvers<void>();
  const write = ordered(async (id) => {
    if (id !== 2) return;
    await release.promise;
    throw new Error('chunk 2 cannot be written');
  });
  const written = [1, 2, 3].map((id) => write(chunkOf(id)));
  const ends = Promise.allSettled(written);
  await someoneWaits('FOR UPDATE');
  release.resolve();
  expect((await ends).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected']);
  expect(await ids()).toEqual([1]);
  expect(await readCheckpoint(sides.target, 'words')).toMatchObject({ lastKey: ['1'], rowsRead: 1 });
});

test('a circle of two chunks and somebody who applies changes is broken by the server', async () => {
  await sides.target.query('INSERT INTO words (id) VALUES (100)');
  const applying: PoolConnection = await sides.applyTarget.getConnection();
  try {
    await applying.query('SET TRANSACTION ISOLATION LEVEL READ COMMITTED');
    await applying.query('START TRANSACTION');
    await applying.query("UPDATE words SET word = 'applied' WHERE id = 100");
    const write = ordered(async (id, connection) => {
      if (id === 1) await connection.query('SELECT word AS waits FROM words WHERE id = 100 FOR UPDATE');
    });
    const first = write(chunkOf(1));
    await someoneWaits('AS waits');
    const second = write(chunkOf(2));
    const ends = Promise.allSettled([first, second]);
    await someoneWaits(`FROM ${backfillTable}`);
    // Applying waits for the second chunk, which waits for the first, which waits for it.
    const applied = applying.query("UPDATE words SET word = 'applied' WHERE id = 2").then(
      () => undefined,
      (error) => error.code as string,
    );
    const fault = await applied;
    await applying.query('ROLLBACK');
    const [one, other] = await ends;
    const faults = [fault, ...[one, other].map((end) => (end.status === 'rejected' ? end.reason.code : undefined))];
    expect(faults).toContain('ER_LOCK_DEADLOCK');
    expect(faults).not.toContain('ER_LOCK_WAIT_TIMEOUT');
  } finally {
    applying.release();
  }
});
