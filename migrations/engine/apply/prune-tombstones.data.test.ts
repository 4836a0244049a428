import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { readApplied, requireApplied } from '@strangler/platform/outbox/applied.ts';
import { installOutbox, outboxTable } from '@strangler/platform/outbox/schema.ts';
import { eventually, type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { pino } from 'pino';
import { beginCheckpoint, moveCheckpoint, readCheckpoint } from '../backfill/checkpoint.ts';
import { rowsOf } from '../schema/queryable.ts';
import { createApplier } from './applier.ts';
import { mapped, prepareTarget, rowMessage } from './fixture.ts';
import { startHousekeeping } from './housekeeping.ts';
import { parkedTable, versionsTable } from './own-tables.ts';
import { recordPositions } from './positions.ts';
import { type PruneOutcome, pruneTombstones } from './prune-tombstones.ts';
import { createApplyPool } from './session.ts';
import { tellSourceApplied } from './tell-applied.ts';

let database: FreshDatabase;
let pool: Pool;
let applyPool: Pool;

beforeAll(async () => {
  database = await freshDatabase('prune');
  pool = createPool(database.url);
  applyPool = createApplyPool(database.url);
  await prepareTarget(pool);
  await installOutbox(pool);
  await pool.query('CREATE TABLE items (id INT PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE)');
});
afterAll(async () => {
  await applyPool?.end();
  await pool?.end();
  await database?.drop();
});

/** Deletes of keys 1 to 9 under ids 11 to 19 are applied, and key 20 lives under id 20; the outbox begins with `lowest`. */
async function deletesApplied(lowest: number): Promise<void> {
  for (const table of ['items', versionsTable, parkedTable, outboxTable]) await pool.query(`DELETE FROM ${table}`);
  const sides = { source: pool, sourceDatabase: database.name, target: pool, targetDatabase: database.name };
  const applier = createApplier({
    pool: applyPool,
    tables: [await mapped(sides, { source: 'items' })],
    log: pino({ level: 'silent' }),
  });
  const gone = Array.from({ length: 9 }, (_, n) =>
    rowMessage('items', 'delete', { id: `${n + 1}` }, null, { epoch: 1, id: `${n + 11}` }),
  );
  const here = rowMessage('items', 'upsert', { id: '20' }, { id: '20', name: 'x' }, { epoch: 1, id: '12' });
  await applier.apply([...gone, here]);
  await pool.query(
    `INSERT INTO ${outboxTable} (id, part, published, epoch, kind, topic, subject, subject_key, op, payload, headers, created_at)
     VALUES (?, 0, 1, 1, 'row', 'fixture.items.delete', 'items', '1', 'delete', '{}', '{}', UTC_TIMESTAMP(6))`,
    [lowest],
  );
}

async function copied(state: 'running' | 'done'): Promise<void> {
  const begun = await beginCheckpoint(pool, 'items', true);
  if (state === 'running') return;
  const connection = await pool.getConnection();
  await moveCheckpoint(connection, 'items', begun, { ...begun, state });
  connection.release();
  expect((await readCheckpoint(pool, 'items'))?.state).toBe('done');
}

const prune = (deadLetters = 0): Promise<PruneOutcome> =>
  pruneTombstones({ source: pool, target: applyPool, tables: ['items'], deadLetters, pageRows: 4 });
const keys = async (): Promise<string[]> =>
  (
    await rowsOf<{ key: string }>(
      pool,
      `SELECT CONVERT(key_text USING utf8mb4) AS \`key\` FROM ${versionsTable} ORDER BY ${versionsTable}.id, key_text`,
    )
  ).map((row) => row.key);

describe('a tombstone goes', () => {
  beforeEach(() => copied('done'));

  test('when the outbox has let go of the delete, and with no row that lives', async () => {
    await deletesApplied(16);
    expect(await prune()).toEqual({ pruned: 5, left: [] });
    expect(await keys()).toEqual(['20', '6', '7', '8', '9']);
    expect(await prune()).toEqual({ pruned: 0, left: [] });
  });

  test('neither while its table is copied, nor while a change lies with the dead letters', async () => {
    await deletesApplied(100);
    expect(await prune(1)).toEqual({ pruned: 0, left: [{ table: 'items', why: 'dead letters' }] });
    await copied('running');
    expect(await prune()).toEqual({ pruned: 0, left: [{ table: 'items', why: 'not copied' }] });
    expect(await keys()).toHaveLength(10);
  });

  test('not while a change of its key is parked', async () => {
    await deletesApplied(100);
    await pool.query(
      `INSERT INTO ${parkedTable} (table_name, key_text, epoch, id, row_change, unique_key, parked_at)
       VALUES ('items', '3', 1, 5, '{}', 'name', UTC_TIMESTAMP(6))`,
    );
    expect((await prune()).pruned).toBe(8);
    expect(await keys()).toEqual(['20', '3']);
  });

  test('not where nothing is known of the outbox any more', async () => {
    await deletesApplied(100);
    await pool.query(`DELETE FROM ${outboxTable}`);
    expect((await prune()).pruned).toBe(0);
  });
});

/** Both ends are one database here. */
const ends = () => ({
  databases: {
    slice: { slice: 'fixture' } as Slice,
    source: { read: pool, write: pool },
    target: { read: pool, apply: applyPool },
  },
  tables: [],
  log: pino({ level: 'silent' }),
  deadLetters: async () => 0,
});

test('the source is told the position of each part, once it asks for it and again and again', async () => {
  const connection = await pool.getConnection();
  const reach = (id: string) =>
    recordPositions(
      connection,
      new Map([['fixture.apply.p03', [{ version: { epoch: 1, id }, at: '2026-11-21T08:45:42.000001Z' }]]]),
    );
  const told = async () => (await readApplied(pool)).filter(({ id }) => id !== '0');
  await reach('33');
  await tellSourceApplied(pool, pool, 'fixture');
  expect(await readApplied(pool)).toEqual([]);
  await requireApplied(pool, 'fixture');
  const housekeeping = startHousekeeping({ ...ends(), tellEveryMs: 10 });
  for (const id of ['33', '34']) {
    await reach(id);
    await eventually(async () => expect(await told()).toEqual([{ slice: 'fixture', part: 3, id }]));
  }
  connection.release();
  await housekeeping.stop();
  expect(await readApplied(pool)).toHaveLength(16);
});

test('an applier takes tombstones away now and then, and outlives a database that does not answer', async () => {
  await copied('done');
  await deletesApplied(16);
  const sides = { source: pool, sourceDatabase: database.name, target: pool, targetDatabase: database.name };
  const tables = [await mapped(sides, { source: 'items' })];
  let asked = 0;
  const deadLetters = async () => {
    asked += 1;
    if (asked === 1) throw new Error('the broker is away');
    return 0;
  };
  const housekeeping = startHousekeeping({ ...ends(), tables, deadLetters, pruneEveryMs: 10 });
  await eventually(async () => expect(await keys()).toEqual(['20', '6', '7', '8', '9']));
  await housekeeping.stop();
});
