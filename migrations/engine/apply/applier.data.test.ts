import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { compareVersions, type RowMessage, type RowVersion } from '@strangler/platform/contracts/row-message.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import fc from 'fast-check';
import type { Pool } from 'mysql2/promise';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { rowsOf } from '../schema/queryable.ts';
import { type Applier, createApplier } from './applier.ts';
import { mapped, prepareTarget, rowMessage } from './fixture.ts';
import { deliveries, type HistoryRow, historyColumns, historyOf, steps } from './history.fixture.ts';
import { parkedTable, versionsTable } from './own-tables.ts';
import { ParkingFull } from './parked.ts';
import { readPositions } from './positions.ts';
import type { MappedTable } from './row-shape.ts';
import { createApplyPool } from './session.ts';

const log = pino({ level: 'silent' });
let database: FreshDatabase;
/** Reads and damages, as any other program. */
let pool: Pool;
let applyPool: Pool;
let items: MappedTable;
let applier: Applier;

beforeAll(async () => {
  database = await freshDatabase('apply');
  pool = createPool(database.url);
  applyPool = createApplyPool(database.url);
  await prepareTarget(pool);
  await pool.query(`CREATE TABLE items (${historyColumns})`);
  await pool.query(`CREATE TABLE kept (${historyColumns}, views INT NOT NULL DEFAULT 7, photo BLOB NULL)`);
  const sides = { source: pool, sourceDatabase: database.name, target: pool, targetDatabase: database.name };
  items = await mapped(sides, { source: 'items' });
  const kept = await mapped(sides, {
    source: 'items',
    target: 'kept',
    columns: items.mapping.columns,
  });
  applier = createApplier({
    pool: applyPool,
    tables: [items, { ...kept, mapping: { ...kept.mapping, source: 'kept' } }],
    log,
  });
});

beforeEach(empty);

afterAll(async () => {
  await applyPool?.end();
  await pool?.end();
  await database?.drop();
});

async function empty(): Promise<void> {
  for (const table of ['items', 'kept', versionsTable, parkedTable]) await pool.query(`DELETE FROM ${table}`);
}

const put = (row: HistoryRow, id: number, table = 'items'): RowMessage =>
  rowMessage(table, 'upsert', { id: row.id }, { ...row }, { epoch: 1, id: String(id) });
const gone = (key: string, id: number): RowMessage =>
  rowMessage('items', 'delete', { id: key }, null, { epoch: 1, id: String(id) });
const row = (id: string, email: string, code: string | null = null, note = 'n'): HistoryRow => ({
  id,
  email,
  code,
  note,
});

async function rows(table = 'items'): Promise<HistoryRow[]> {
  return await rowsOf<HistoryRow>(
    pool,
    `SELECT CAST(id AS CHAR) AS id, email, CAST(code AS CHAR) AS code, note FROM ${table} ORDER BY ${table}.id`,
  );
}

async function versions(): Promise<Map<string, RowVersion & { deleted: number }>> {
  const found = await rowsOf<RowVersion & { key: string; deleted: number }>(
    pool,
    `SELECT CONVERT(key_text USING utf8mb4) AS \`key\`, epoch, CAST(id AS CHAR) AS id, deleted FROM ${versionsTable}`,
  );
  return new Map(found.map(({ key, ...version }) => [key, version]));
}

async function waiting(): Promise<number> {
  const [counted] = await rowsOf<{ n: number }>(pool, `SELECT COUNT(*) AS n FROM ${parkedTable}`);
  return counted?.n ?? 0;
}

describe('whatever is repeated and reordered', () => {
  test('the target converges to the newest image of every row, and no row ever goes back', async () => {
    const story = steps
      .map((done) => historyOf('items', done))
      .chain((history) => fc.record({ history: fc.constant(history), batches: deliveries(history.messages.length) }));
    await fc.assert(
      fc.asyncProperty(story, async ({ history, batches }) => {
        await empty();
        const images = new Map(
          history.messages.map(({ key, version, image }) => [`${key.id} ${version.epoch}/${version.id}`, image]),
        );
        let before = await versions();
        for (const batch of batches) {
          await applier.apply(batch.map((index) => history.messages[index] as RowMessage));
          const now = await versions();
          for (const [key, version] of before) {
            expect(compareVersions(now.get(key) as RowVersion, version)).toBeGreaterThanOrEqual(0);
          }
          // A row is the very image of its version: not the one before, and not one between two.
          const expected = [...now]
            .map(([key, version]) => images.get(`${key} ${version.epoch}/${version.id}`))
            .filter((image) => image !== null)
            .sort((a, b) => Number(a?.id) - Number(b?.id));
          expect(await rows()).toEqual(expected);
          before = now;
        }
        expect(await rows()).toEqual(history.rows);
        expect(await waiting()).toBe(0);
      }),
      { numRuns: 200 },
    );
  }, 180_000);

  test('several appliers at once come to the same rows', async () => {
    const story = steps
      .map((done) => historyOf('items', done))
      .chain((history) => fc.record({ history: fc.constant(history), batches: deliveries(history.messages.length) }));
    await fc.assert(
      fc.asyncProperty(story, async ({ history, batches }) => {
        await empty();
        const queue = [...batches];
        const worker = async () => {
          for (let batch = queue.shift(); batch !== undefined; batch = queue.shift()) {
            await applier.apply(batch.map((index) => history.messages[index] as RowMessage));
          }
        };
        await Promise.all([worker(), worker(), worker()]);
        expect(await rows()).toEqual(history.rows);
        expect(await waiting()).toBe(0);
      }),
      { numRuns: 40 },
    );
  }, 180_000);
});

describe('one batch', () => {
  test('tells what became of its changes', async () => {
    const report = await applier.apply([
      put(row('1', 'a'), 10),
      put(row('1', 'b'), 12),
      put(row('1', 'a'), 10),
      gone('2', 11),
    ]);
    expect(report).toEqual({ applied: 2, duplicates: 2, parked: 0, refused: [] });
    expect(await rows()).toEqual([row('1', 'b')]);
    expect(await versions()).toEqual(
      new Map([
        ['1', { epoch: 1, id: '12', deleted: 0 }],
        ['2', { epoch: 1, id: '11', deleted: 1 }],
      ]),
    );
    const late = await applier.apply([put(row('2', 'c'), 9)]);
    expect(late).toEqual({ applied: 0, duplicates: 1, parked: 0, refused: [] });
    expect(await rows()).toEqual([row('1', 'b')]);
  });

  test('that changes nothing in a row still writes its version', async () => {
    await applier.apply([put(row('1', 'a'), 10)]);
    await applier.apply([put(row('1', 'a'), 11)]);
    expect((await versions()).get('1')?.id).toBe('11');
    expect(await rows()).toEqual([row('1', 'a')]);
  });

  test('updates a row that was copied before, and of which no version is known', async () => {
    await pool.query("INSERT INTO items VALUES (1, 'old', 3, 'copied')");
    await applier.apply([put(row('1', 'new'), 10)]);
    expect(await rows()).toEqual([row('1', 'new')]);
  });

  test('leaves the columns alone that the mapping does not name', async () => {
    await applier.apply([put(row('1', 'a', '1'), 10, 'kept'), put(row('2', 'b', '2'), 11, 'kept')]);
    await pool.query("UPDATE kept SET views = 40 + id, photo = x'00ff27' WHERE id IN (1, 2)");
    // The second batch swaps values, so its rows are taken away and added again.
    await applier.apply([put(row('1', 'b', '2'), 20, 'kept'), put(row('2', 'a', '1'), 21, 'kept')]);
    expect(await rows('kept')).toEqual([row('1', 'b', '2'), row('2', 'a', '1')]);
    const kept = await rowsOf(pool, 'SELECT views, HEX(photo) AS photo FROM kept ORDER BY id');
    expect(kept).toEqual([
      { views: 41, photo: '00FF27' },
      { views: 42, photo: '00FF27' },
    ]);
  });

  test('goes on without the rows that the target cannot take, and says why, without their values', async () => {
    const long = 'secret'.repeat(9);
    const report = await applier.apply([
      put(row('1', 'a'), 10),
      put(row('2', long), 11),
      put({ ...row('3', 'c'), code: 'not a number' }, 12),
      put(row('4', 'd'), 13),
      { ...put(row('5', 'e'), 14), table: 'elsewhere' },
      { ...put(row('6', 'f'), 15), image: { id: '6' } },
    ]);
    expect(report).toMatchObject({ applied: 2, duplicates: 0, parked: 0 });
    const reasons = new Map(report.refused.map(({ message, reason }) => [message.key.id, reason]));
    expect(reasons.get('2')).toMatch(/1406.*email/);
    expect(reasons.get('3')).toMatch(/1366.*code/);
    expect(reasons.get('5')).toBe('elsewhere: expected a table of items,kept');
    expect(reasons.get('6')).toMatch(/items 6: expected the image to give email/);
    expect([...reasons.values()].join()).not.toMatch(/secret|not a number/);
    expect((await rows()).map(({ id }) => id)).toEqual(['1', '4']);
    expect([...(await versions()).keys()].sort()).toEqual(['1', '4']);
  });

  test('of any size is applied within the bounds of a transaction', async () => {
    const small = createApplier({ pool: applyPool, tables: [items], log, limits: { maxRows: 7 } });
    const many = Array.from({ length: 100 }, (_, at) => put(row(`${at}`, `e${at}`), at + 1));
    await expect(small.apply(many)).resolves.toMatchObject({ applied: 100 });
    expect(await rows()).toHaveLength(100);
  });

  test('takes a number of statements that does not grow with its rows', async () => {
    const single = createApplyPool(database.url, { connectionLimit: 1 });
    const counted = createApplier({ pool: single, tables: [items], log });
    const asked = async () => {
      const [status] = await rowsOf<{ Value: string }>(single, "SHOW SESSION STATUS LIKE 'Questions'");
      return Number(status?.Value);
    };
    const statements = async (count: number): Promise<number> => {
      const before = await asked();
      await counted.apply(Array.from({ length: count }, (_, at) => put(row(`${at}`, `s${count}x${at}`), at + count)));
      return (await asked()) - before;
    };
    try {
      await statements(1);
      const [few, many] = [await statements(5), await statements(400)];
      expect(many).toBe(few);
      expect(many).toBeLessThan(16);
    } finally {
      await single.end();
    }
  });
});

describe('a unique value that another row has', () => {
  test('makes the change wait until that row has given it up', async () => {
    await applier.apply([put(row('1', 'a'), 10)]);
    const report = await applier.apply([put(row('2', 'a'), 21)]);
    expect(report).toEqual({ applied: 0, duplicates: 0, parked: 1, refused: [] });
    expect(await rows()).toEqual([row('1', 'a')]);
    expect((await versions()).has('2')).toBe(false);
    await expect(applier.retryParked()).resolves.toBe(1);
    await applier.apply([put(row('1', 'b'), 20)]);
    expect(await rows()).toEqual([row('1', 'b'), row('2', 'a')]);
    expect((await versions()).get('2')?.id).toBe('21');
    await expect(applier.retryParked()).resolves.toBe(0);
  });

  test('is given up by a delete that comes later, also when only the key has changed', async () => {
    await applier.apply([put(row('1', 'a'), 10)]);
    await applier.apply([put(row('2', 'a'), 12)]);
    await applier.apply([gone('1', 11)]);
    expect(await rows()).toEqual([row('2', 'a')]);
  });

  test('goes round in a ring of rows in one batch, and in several', async () => {
    const ring = (shift: number, version: number) =>
      [0, 1, 2, 3].map((at) => put(row(`${at}`, `e${(at + shift) % 4}`, `${(at + shift) % 4}`), version + at));
    await applier.apply(ring(0, 10));
    await applier.apply(ring(1, 20));
    expect((await rows()).map(({ email }) => email)).toEqual(['e1', 'e2', 'e3', 'e0']);
    for (const message of ring(3, 30)) await applier.apply([message]);
    expect((await rows()).map(({ email }) => email)).toEqual(['e3', 'e0', 'e1', 'e2']);
    expect(await waiting()).toBe(0);
  });

  test('is let go of by a newer change of the row that waited', async () => {
    await applier.apply([put(row('1', 'a'), 10)]);
    await applier.apply([put(row('2', 'a'), 21)]);
    await applier.apply([put(row('2', 'c'), 22)]);
    expect(await rows()).toEqual([row('1', 'a'), row('2', 'c')]);
    expect(await waiting()).toBe(0);
  });

  test('stops the pipe when too many wait for one', async () => {
    const strict = createApplier({ pool: applyPool, tables: [items], log, maxParked: 2 });
    await strict.apply([put(row('1', 'a'), 10)]);
    await strict.apply([put(row('2', 'a'), 11), put(row('3', 'a'), 12)]);
    await expect(strict.apply([put(row('4', 'a'), 13)])).rejects.toBeInstanceOf(ParkingFull);
    await expect(strict.apply([put(row('4', 'a'), 13)])).rejects.toThrow(
      /items: expected at most 2 changes waiting.*by_email/,
    );
    expect(await waiting()).toBe(2);
  });
});

describe('beside the rows', () => {
  test('the position of a stream is recorded, and does not go down', async () => {
    await applier.apply([{ ...put(row('1', 'a'), 30), at: '2026-01-02T00:00:00.000002Z' }], 'catalog.p03');
    await applier.apply([{ ...put(row('2', 'b'), 20), at: '2026-01-01T00:00:00.000001Z' }], 'catalog.p03');
    const positions = await readPositions(pool);
    expect(positions).toMatchObject([
      { name: 'catalog.p03', version: { epoch: 1, id: '30' }, changedAt: new Date('2026-01-02T00:00:00.000Z') },
    ]);
  });

  test('changes, batches and what waits are counted', async () => {
    const registry = new Registry();
    const counted = createApplier({ pool: applyPool, tables: [items], log, registry });
    await counted.apply([put(row('1', 'a'), 10), put(row('1', 'a'), 10), put(row('2', 'a'), 11)]);
    const text = await registry.metrics();
    expect(text).toMatch(/^strangler_apply_changes_total\{table="items",outcome="applied"\} 1$/m);
    expect(text).toMatch(/^strangler_apply_changes_total\{table="items",outcome="duplicate"\} 1$/m);
    expect(text).toMatch(/^strangler_apply_changes_total\{table="items",outcome="parked"\} 1$/m);
    expect(text).toMatch(/^strangler_parked_changes\{table="items"\} 1$/m);
  });
});

test('a lock that another holds is waited for, and the batch begun anew', async () => {
  const registry = new Registry();
  const impatient = createApplyPool(database.url, { lockWaitSeconds: 1 });
  const holder = await pool.getConnection();
  try {
    await applier.apply([put(row('1', 'a'), 10)]);
    await holder.query('START TRANSACTION');
    await holder.query("UPDATE items SET note = 'held' WHERE id = 1");
    const applying = createApplier({ pool: impatient, tables: [items], log, registry }).apply([put(row('1', 'b'), 11)]);
    await eventually(async () => expect(await registry.metrics()).toMatch(/retries_total\{cause="lock-wait"\} [1-9]/));
    await holder.query('ROLLBACK');
    await expect(applying).resolves.toMatchObject({ applied: 1 });
    expect(await rows()).toEqual([row('1', 'b')]);
  } finally {
    holder.release();
    await impatient.end();
  }
});
