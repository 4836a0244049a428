import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { startTcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { pino } from 'pino';
import { type Applier, createApplier } from '../apply/applier.ts';
import { mapped, rowMessage } from '../apply/fixture.ts';
import { fillGoods, goodsColumns, readGoods, startGoodsWriters } from '../apply/goods.fixture.ts';
import { backfillTable as checkpointTable, parkedTable, versionsTable } from '../apply/own-tables.ts';
import { capture, createPump, openSides, type PipeSides, type Pump } from '../apply/pipe.fixture.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { createApplyPool } from '../apply/session.ts';
import { rowsOf } from '../schema/queryable.ts';
import { type BackfillEvent, type BackfillOptions, backfillTable } from './backfill.ts';
import { CheckpointMoved, readCheckpoint } from './checkpoint.ts';
import { BackfillRefused } from './write-chunk.ts';

const log = pino({ level: 'silent' });
let sides: PipeSides;
let goods: MappedTable;
let plain: MappedTable;
let applier: Applier;
let pump: Pump;

beforeAll(async () => {
  sides = await openSides('backfill');
  for (const pool of [sides.source, sides.target]) {
    await pool.query(`CREATE TABLE goods (${goodsColumns})`);
    await pool.query('CREATE TABLE plain (id INT PRIMARY KEY, email VARCHAR(9) NOT NULL UNIQUE, v INT NULL)');
  }
  goods = await mapped(sides, { source: 'goods' });
  plain = await mapped(sides, { source: 'plain' });
  await capture(sides, [goods]);
  applier = createApplier({ pool: sides.applyTarget, tables: [goods, plain], log });
  pump = createPump(sides.source, applier);
});

beforeEach(async () => {
  await pump.empty();
  for (const table of ['goods', 'plain']) await sides.source.query(`DELETE FROM ${table}`);
  await sides.source.query('DELETE FROM strangler_outbox');
  for (const table of ['goods', 'plain', versionsTable, parkedTable, checkpointTable]) {
    await sides.target.query(`DELETE FROM ${table}`);
  }
});

afterAll(() => sides?.close());

/** As if the rows had been there before anything was captured. */
async function forgetCaptured(): Promise<void> {
  await sides.source.query('DELETE FROM strangler_outbox');
}

async function copy(table: MappedTable, more: Partial<BackfillOptions> = {}): Promise<BackfillEvent[]> {
  const events: BackfillEvent[] = [];
  for await (const event of backfillTable({
    table,
    source: sides.readSource,
    target: sides.applyTarget,
    log,
    ...more,
  })) {
    events.push(event);
  }
  return events;
}

const plainRows = (pool: PipeSides['target']) => rowsOf(pool, 'SELECT id, email, v FROM plain ORDER BY id');

describe('a copy', () => {
  test('has every row as it is, tells its progress, and is not made twice', async () => {
    await fillGoods(sides.source, 700);
    await forgetCaptured();
    const events = await copy(goods, { limits: { maxRows: 100 } });
    expect(await readGoods(sides.target)).toEqual(await readGoods(sides.source));
    expect(events.map(({ kind }) => kind)).toEqual(['begun', ...Array(events.length - 2).fill('chunk'), 'done']);
    expect(events.length).toBeGreaterThan(8);
    expect(events.at(-1)).toMatchObject({ table: 'goods', rowsRead: 700, rowsWritten: 700, rowsParked: 0, etaMs: 0 });
    const chunks = events.filter(({ kind }) => kind === 'chunk');
    expect(chunks.every(({ rowsPerSecond }) => rowsPerSecond > 0)).toBe(true);
    expect((await copy(goods)).map(({ kind, rowsRead }) => [kind, rowsRead])).toEqual([
      ['resumed', 700],
      ['done', 700],
    ]);
  });

  test('is equal in the end, whatever is written meanwhile, and while a transaction is held open all the time', async () => {
    await fillGoods(sides.source, 1200);
    await forgetCaptured();
    const held = await sides.source.getConnection();
    await held.query('SET TRANSACTION ISOLATION LEVEL READ COMMITTED');
    await held.query('START TRANSACTION');
    await held.query("UPDATE goods SET name = 'held' WHERE no IN (1150, 1151, 1199)");
    await held.query('DELETE FROM goods WHERE no = 1180');
    const writers = startGoodsWriters(sides.source, 3, 1100);
    pump.start();
    try {
      // Slow enough that much is written between its chunks, and before those that come late.
      const slow = async () => {
        await new Promise((resolve) => setTimeout(resolve, 15));
        return { kind: 'go' as const };
      };
      const events = await copy(goods, { limits: { maxRows: 30 }, throttles: [slow] });
      expect(events.at(-1)?.kind).toBe('done');
      await held.query('COMMIT');
      const { done } = await writers.stop();
      expect(done).toBeGreaterThan(20);
    } finally {
      held.release();
      await writers.stop().catch(() => {});
      await pump.stop();
    }
    await pump.empty();
    expect(await readGoods(sides.target)).toEqual(await readGoods(sides.source));
    expect(await applier.retryParked()).toBe(0);
    expect(pump.totals().refused).toBe(0);
    const [long] = await rowsOf<{ n: number }>(sides.target, "SELECT COUNT(*) AS n FROM goods WHERE name = 'held'");
    expect(long?.n).toBeGreaterThan(0);
  }, 180_000);

  test('that was killed goes on where it was, with no row read twice', async () => {
    await fillGoods(sides.source, 1500);
    await forgetCaptured();
    const script = path.join(import.meta.dirname, 'copy-process.fixture.ts');
    const child = spawn(process.execPath, [script, sides.sourceUrl, sides.targetUrl], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    const exited = once(child, 'exit');
    for await (const text of child.stdout) {
      if (/chunk [2-9]\d\d/.test(String(text))) break;
    }
    child.kill('SIGKILL');
    await exited;
    const rest = await readCheckpoint(sides.target, 'goods');
    expect(rest?.rowsRead).toBeGreaterThanOrEqual(200);
    expect(rest?.rowsRead).toBeLessThan(1500);
    const [copied] = await rowsOf<{ n: number }>(sides.target, 'SELECT COUNT(*) AS n FROM goods');
    expect(copied?.n).toBe(rest?.rowsRead);
    const events = await copy(goods);
    expect(events[0]).toMatchObject({ kind: 'resumed', rowsRead: rest?.rowsRead });
    expect(events.at(-1)).toMatchObject({ kind: 'done', rowsRead: 1500, rowsWritten: 1500 });
    expect(await readGoods(sides.target)).toEqual(await readGoods(sides.source));
  }, 180_000);

  test('whose target goes away waits, says so, and goes on', async () => {
    await fillGoods(sides.source, 600);
    await forgetCaptured();
    const proxy = await startTcpProxy(sides.targetUrl);
    const through = createApplyPool(proxy.url);
    try {
      const kinds: string[] = [];
      for await (const event of backfillTable({
        table: goods,
        source: sides.readSource,
        target: through,
        log,
        limits: { maxRows: 50 },
      })) {
        kinds.push(event.kind);
        if (event.kind === 'chunk' && kinds.filter((kind) => kind === 'chunk').length === 3) await proxy.refuse();
        if (event.kind === 'waiting') await proxy.pass();
      }
      expect(kinds).toContain('waiting');
      expect(kinds.at(-1)).toBe('done');
      expect(await readGoods(sides.target)).toEqual(await readGoods(sides.source));
    } finally {
      await through.end();
      await proxy.close();
    }
  });

  test('ends after the chunk in hand when told to, and says so', async () => {
    await fillGoods(sides.source, 300);
    await forgetCaptured();
    const stop = new AbortController();
    const events: BackfillEvent[] = [];
    for await (const event of backfillTable({
      table: goods,
      source: sides.readSource,
      target: sides.applyTarget,
      log,
      limits: { maxRows: 50 },
      signal: stop.signal,
    })) {
      events.push(event);
      if (event.kind === 'chunk') stop.abort();
    }
    expect(events.map(({ kind }) => kind)).toEqual(['begun', 'chunk', 'stopped']);
  });

  test('waits while a throttle says so', async () => {
    await fillGoods(sides.source, 50);
    await forgetCaptured();
    let asked = 0;
    const throttle = async () => {
      asked += 1;
      return asked < 4 ? { kind: 'wait' as const, reason: 'too much to do', waitMs: 1 } : { kind: 'go' as const };
    };
    const events = await copy(goods, { throttles: [throttle] });
    expect(events.slice(0, 4)).toMatchObject([
      { kind: 'begun' },
      { kind: 'waiting', reason: 'too much to do' },
      { kind: 'waiting' },
      { kind: 'waiting' },
    ]);
    expect(events.at(-1)).toMatchObject({ kind: 'done', rowsWritten: 50 });
  });

  test('made by two processes at once is stopped in one of them', async () => {
    await fillGoods(sides.source, 600);
    await forgetCaptured();
    const ends = await Promise.allSettled([
      copy(goods, { limits: { maxRows: 20 } }),
      copy(goods, { limits: { maxRows: 20 } }),
    ]);
    const failed = ends.filter((end) => end.status === 'rejected');
    expect(failed).toHaveLength(1);
    expect(failed[0]?.reason).toBeInstanceOf(CheckpointMoved);
    expect(await readGoods(sides.target)).toEqual(await readGoods(sides.source));
  });
});

describe('of a row', () => {
  test('whose delete has been applied, nothing is copied', async () => {
    await sides.source.query("INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 2)");
    await applier.apply([rowMessage('plain', 'delete', { id: '1' }, null, { epoch: 1, id: '5' })]);
    await copy(plain);
    expect(await plainRows(sides.target)).toEqual([{ id: 2, email: 'b', v: 2 }]);
  });

  test('whose delete is being applied while it is copied, nothing is left', async () => {
    await sides.source.query("INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 2)");
    const deleting = await sides.target.getConnection();
    try {
      // As far as an applier is before its commit: there was no row to delete yet.
      await deleting.query('SET TRANSACTION ISOLATION LEVEL READ COMMITTED');
      await deleting.query('START TRANSACTION');
      await deleting.query(`INSERT INTO ${versionsTable} VALUES ('plain', '1', 1, 5, 1)`);
      await deleting.query('DELETE FROM plain WHERE id = 1');
      const copying = copy(plain);
      await eventually(async () => {
        const [found] = await rowsOf<{ n: number }>(
          sides.target,
          "SELECT COUNT(*) AS n FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE '%LOCK IN SHARE MODE'",
        );
        return (found?.n ?? 0) > 0;
      });
      await deleting.query('COMMIT');
      const events = await copying;
      expect(events.at(-1)).toMatchObject({ kind: 'done', rowsRead: 2, rowsWritten: 1 });
      expect(await plainRows(sides.target)).toEqual([{ id: 2, email: 'b', v: 2 }]);
    } finally {
      await deleting.query('ROLLBACK');
      deleting.release();
    }
  });

  test('whose newer image has been applied, the older is not copied', async () => {
    await sides.source.query("INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 2)");
    const newer = { id: '1', email: 'z', v: '9' };
    await applier.apply([rowMessage('plain', 'upsert', { id: '1' }, newer, { epoch: 1, id: '5' })]);
    await copy(plain);
    expect(await plainRows(sides.target)).toEqual([
      { id: 1, email: 'z', v: 9 },
      { id: 2, email: 'b', v: 2 },
    ]);
  });

  test('that clashes on a unique value the copy waits, and lands when the value is free', async () => {
    await sides.source.query("INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)");
    // What the target got before: row 9 had the value that row 2 has now, and its delete is still on the way.
    const older = { id: '9', email: 'b', v: null };
    await applier.apply([rowMessage('plain', 'upsert', { id: '9' }, older, { epoch: 1, id: '5' })]);
    const events = await copy(plain);
    expect(events.at(-1)).toMatchObject({ kind: 'done', rowsRead: 3, rowsWritten: 2, rowsParked: 1 });
    await applier.apply([rowMessage('plain', 'delete', { id: '9' }, null, { epoch: 1, id: '6' })]);
    expect(await plainRows(sides.target)).toEqual(await plainRows(sides.source));
  });

  test('that was parked, a delete which comes later takes care', async () => {
    await sides.source.query("INSERT INTO plain VALUES (2, 'b', 2)");
    const older = { id: '9', email: 'b', v: null };
    await applier.apply([rowMessage('plain', 'upsert', { id: '9' }, older, { epoch: 1, id: '5' })]);
    await copy(plain);
    await applier.apply([rowMessage('plain', 'delete', { id: '2' }, null, { epoch: 1, id: '7' })]);
    await applier.apply([rowMessage('plain', 'delete', { id: '9' }, null, { epoch: 1, id: '6' })]);
    expect(await plainRows(sides.target)).toEqual([]);
    expect(await applier.retryParked()).toBe(0);
  });

  test('that the target cannot take the copy stops, names it, and keeps its value to itself', async () => {
    await sides.source.query('CREATE TABLE wide (id INT PRIMARY KEY, email VARCHAR(99) NULL)');
    await sides.target.query('CREATE TABLE wide (id INT PRIMARY KEY, email VARCHAR(3) NULL)');
    await sides.source.query("INSERT INTO wide VALUES (1, 'abc'), (2, 'far too long'), (3, 'abc')");
    const wide = await mapped(sides, { source: 'wide' });
    await expect(copy(wide)).rejects.toBeInstanceOf(BackfillRefused);
    await expect(copy(wide)).rejects.toThrow(/row 2: expected a row that the target can take, found error 1406/);
  });
});

test('a copy with expressions and a transform writes what changes write', async () => {
  await sides.source.query(
    'CREATE TABLE parts (id BIGINT UNSIGNED PRIMARY KEY, price DECIMAL(10,2) NOT NULL, title VARCHAR(40) NULL, at DATETIME(3) NULL)',
  );
  await sides.target.query(
    'CREATE TABLE pieces (no BIGINT UNSIGNED PRIMARY KEY, cents INT NOT NULL, label TEXT NULL, words INT NOT NULL, day DATE NULL)',
  );
  await sides.source.query(
    `INSERT INTO parts VALUES (18446744073709551615, 12.34, 'one "two"', '2026-01-02 03:04:05.678'), (7, 0.05, NULL, NULL)`,
  );
  const parts = await mapped(sides, {
    source: 'parts',
    target: 'pieces',
    columns: [
      { target: 'no', from: 'column', column: 'id' },
      { target: 'cents', from: 'sql', sql: 'price * 100', columns: ['price'] },
      {
        target: 'label',
        from: 'sql',
        sql: "CONCAT(UPPER(title), ' ', DATE_FORMAT(at, '%Y'))",
        columns: ['title', 'at'],
      },
      { target: 'words', from: 'transform' },
      { target: 'day', from: 'sql', sql: 'DATE(at)', columns: ['at'] },
    ],
    transform: {
      sourceColumns: ['title'],
      targetColumns: ['words'],
      toTarget: ({ title }) => ({ words: String(title?.split(' ').length ?? 0) }),
      toSource: () => ({}),
    },
  });
  const pieces = () =>
    rowsOf(
      sides.target,
      'SELECT CAST(no AS CHAR) AS no, cents, label, words, CAST(day AS CHAR) AS day FROM pieces AS p ORDER BY p.no',
    );
  await copy(parts);
  const copied = await pieces();
  expect(copied).toEqual([
    { no: '7', cents: 5, label: null, words: 0, day: null },
    { no: '18446744073709551615', cents: 1234, label: 'ONE "TWO" 2026', words: 2, day: '2026-01-02' },
  ]);
  await sides.target.query('DELETE FROM pieces');
  const images = [
    { id: '18446744073709551615', price: '12.34', title: 'one "two"', at: '2026-01-02 03:04:05.678' },
    { id: '7', price: '0.05', title: null, at: null },
  ];
  const partsApplier = createApplier({ pool: sides.applyTarget, tables: [parts], log });
  const report = await partsApplier.apply(
    images.map((image, index) =>
      rowMessage('parts', 'upsert', { id: image.id }, image, { epoch: 1, id: String(index + 1) }),
    ),
  );
  expect(report).toMatchObject({ applied: 2, refused: [] });
  expect(await pieces()).toEqual(copied);
  await eventually(async () => expect(await partsApplier.retryParked()).toBe(0));
});
