import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { pause } from '@strangler/platform/backoff.ts';
import { readFenceRefusal } from '@strangler/platform/contracts/fence-refusal.ts';
import type { Connection } from 'mysql2/promise';
import { rowsOf } from '../schema/queryable.ts';
import { type FencedDatabase, fencedDatabase } from './fenced.fixture.ts';

/** What a writer did and what it was told; `lost`: refused by something else, such as a deadlock, or rolled back by itself. */
type Deed = Effect & { id: number; outcome: 'acknowledged' | 'refused' | 'lost'; begunIn: number; endedIn: number };

/** What there is of it when it is acknowledged: whether the row `id` was made, and how often hot rows were counted up. */
type Effect = { made: boolean; counted: number };

const closings = 200;
const writerCount = 12;
const hotRows = 3;

let db: FencedDatabase;
/** Odd while the fence is closed: from the return of one call to before the next. */
let phase = 0;
let stopped = false;

beforeAll(async () => {
  db = await fencedDatabase('fence_race');
  const maker = await db.writer();
  await maker.query('CREATE TABLE made (id INT PRIMARY KEY, n INT NOT NULL)');
  await maker.query('CREATE TABLE hot (id INT PRIMARY KEY, n INT NOT NULL)');
  for (let id = 0; id < hotRows; id += 1) await maker.query('INSERT INTO hot VALUES (?, 0)', [id]);
  await db.fence(['made', 'hot']);
});
afterAll(() => db.drop());

const random = (below: number): number => Math.floor(Math.random() * below);

const countUp = (session: Connection) => session.query('UPDATE hot SET n = n + 1 WHERE id = ?', [random(hotRows)]);

/** The ways of a write. */
const ways: Record<string, (session: Connection, id: number) => Promise<Effect>> = {
  async alone(session, id) {
    await session.query('INSERT INTO made VALUES (?, 0)', [id]);
    return { made: true, counted: 0 };
  },
  async ignoring(session, id) {
    await session.query('INSERT IGNORE INTO made VALUES (?, 0)', [id]);
    return { made: true, counted: 0 };
  },
  // Of it alone a trigger's read without a lock is no locking read all the same, as it is in an INSERT or a DELETE and at
  // REPEATABLE READ.
  async readCommittedUpdateSlowCommit(session) {
    await session.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
    await session.beginTransaction();
    await countUp(session);
    await pause(random(12));
    await session.commit();
    return { made: false, counted: 1 };
  },
  async oldSnapshotSlowCommit(session, id) {
    await session.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await session.beginTransaction();
    await session.query('SELECT COUNT(*) FROM hot');
    await pause(random(12));
    await session.query('INSERT INTO made VALUES (?, 1)', [id]);
    await pause(random(12));
    await session.commit();
    return { made: true, counted: 0 };
  },
  async hotRowsInAnyOrder(session, id) {
    await session.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
    await session.beginTransaction();
    await countUp(session);
    await session.query('INSERT INTO made VALUES (?, 2)', [id]);
    await countUp(session);
    await session.commit();
    return { made: true, counted: 2 };
  },
  async givenUp(session, id) {
    await session.beginTransaction();
    await session.query('INSERT INTO made VALUES (?, 3)', [id]);
    await session.rollback();
    throw new Error('rolled back');
  },
  async prepared(session, id) {
    const xid = `'${db.name}.${id}'`;
    await session.query(`XA START ${xid}`);
    let ended = 'ROLLBACK';
    try {
      await session.query('INSERT INTO made VALUES (?, 4)', [id]);
      await session.query(`XA END ${xid}`);
      await session.query(`XA PREPARE ${xid}`);
      await pause(random(12));
      ended = 'COMMIT';
    } catch (error) {
      await session.query(`XA END ${xid}`).catch(() => {});
      throw error;
    } finally {
      await session.query(`XA ${ended} ${xid}`);
    }
    return { made: true, counted: 0 };
  },
};

async function write(first: number): Promise<Deed[]> {
  const session = await db.writer();
  const deeds: Deed[] = [];
  const names = Object.keys(ways);
  for (let id = first; !stopped; id += 1) {
    const begunIn = phase;
    let outcome: Deed['outcome'] = 'acknowledged';
    let effect: Effect = { made: false, counted: 0 };
    try {
      effect = await ways[names[random(names.length)]!]!(session, id);
    } catch (error) {
      outcome = readFenceRefusal(error) === undefined ? 'lost' : 'refused';
      await session.rollback();
    }
    deeds.push({ ...effect, id, outcome, begunIn, endedIn: phase });
    if (outcome !== 'acknowledged') await pause(random(5));
  }
  return deeds;
}

/** All that the tables hold. */
const content = async (): Promise<string> =>
  JSON.stringify([
    await rowsOf(db.admin, 'SELECT COUNT(*) AS n, SUM(id) AS ids, BIT_XOR(CRC32(id)) AS sum FROM made'),
    await rowsOf(db.admin, 'SELECT * FROM hot ORDER BY id'),
  ]);

test(`${closings} closings among writers of every kind: nothing is written while it is closed, nothing acknowledged is lost`, async () => {
  const writers = Array.from({ length: writerCount }, (_none, at) => write((at + 1) * 1_000_000));
  let closed = 0;
  let busy = 0;
  try {
    while (closed < closings) {
      await pause(random(12));
      const closing = await db.close({ waitMs: 5000 });
      if (closing.kind === 'busy') {
        busy += 1;
        continue;
      }
      phase += 1;
      closed += 1;
      const before = await content();
      await pause(random(6));
      expect(await content()).toBe(before);
      phase += 1;
      expect(await db.open({ waitMs: 10_000 })).toMatchObject({ kind: 'moved' });
    }
  } finally {
    stopped = true;
  }
  const deeds = (await Promise.all(writers)).flat();
  const of = (outcome: Deed['outcome']) => deeds.filter((deed) => deed.outcome === outcome).map(({ id }) => id);

  const whileClosed = deeds.filter(
    ({ outcome, begunIn, endedIn }) => outcome === 'acknowledged' && begunIn % 2 === 1 && begunIn === endedIn,
  );
  expect(whileClosed).toEqual([]);
  const present = (await rowsOf<{ id: number }>(db.admin, 'SELECT id FROM made ORDER BY id')).map(({ id }) => id);
  const made = deeds.filter((deed) => deed.made).map(({ id }) => id);
  expect(present).toEqual(made.sort((one, two) => one - two));
  const [hot] = await rowsOf<{ n: string }>(db.admin, 'SELECT SUM(n) AS n FROM hot');
  expect(Number(hot!.n)).toBe(deeds.reduce((sum, { counted }) => sum + counted, 0));
  // It has been a race: all three came about, and writes began in either state.
  expect(of('refused').length).toBeGreaterThan(closings / 4);
  expect(of('acknowledged').length).toBeGreaterThan(closings / 4);
  expect(busy).toBeLessThan(closings / 4);
}, 180_000);
