import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { RowMessage } from '@strangler/platform/contracts/row-message.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { eventually, type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { pino } from 'pino';
import { rowsOf } from '../schema/queryable.ts';
import { type ApplierOptions, createApplier, FloorGone } from './applier.ts';
import { mapped, prepareTarget, rowMessage } from './fixture.ts';
import { parkedTable, positionsTable, versionsTable } from './own-tables.ts';
import { readPositions } from './positions.ts';
import type { MappedTable } from './row-shape.ts';
import { createApplyPool } from './session.ts';

const log = pino({ level: 'silent' });
let database: FreshDatabase;
let pool: Pool;
let applyPool: Pool;
let items: MappedTable;

beforeAll(async () => {
  database = await freshDatabase('together');
  pool = createPool(database.url);
  applyPool = createApplyPool(database.url);
  await prepareTarget(pool);
  await pool.query('CREATE TABLE items (id INT NOT NULL PRIMARY KEY, name VARCHAR(10) NULL UNIQUE)');
  const sides = { source: pool, sourceDatabase: database.name, target: pool, targetDatabase: database.name };
  items = await mapped(sides, { source: 'items' });
});

beforeEach(async () => {
  for (const table of ['items', versionsTable, parkedTable, positionsTable]) await pool.query(`DELETE FROM ${table}`);
});

afterAll(async () => {
  await applyPool?.end();
  await pool?.end();
  await database?.drop();
});

const applierWith = (more: Partial<ApplierOptions> = {}) =>
  createApplier({ pool: applyPool, tables: [items], log, ...more });

const put = (id: string, name: string | null, version: number): RowMessage =>
  rowMessage('items', 'upsert', { id }, { id, name }, { epoch: 1, id: String(version) });

const rows = () => rowsOf(pool, 'SELECT id, name FROM items ORDER BY id');
const standing = (name: string, id: string) =>
  pool.query(`INSERT INTO ${positionsTable} VALUES (?, 1, ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))`, [name, id]);

describe('changes of several streams', () => {
  test('are applied together, and each stream’s position is that of its own', async () => {
    const report = await applierWith().applyTogether([
      { position: 'q1', messages: [put('1', 'a', 10), put('2', 'b', 14)] },
      { position: 'q2', messages: [put('1', 'c', 12)] },
      { position: undefined, messages: [put('3', 'd', 99)] },
    ]);
    expect(report).toMatchObject({ applied: 3, duplicates: 1, parked: 0, refused: [] });
    expect(await rows()).toEqual([
      { id: 1, name: 'c' },
      { id: 2, name: 'b' },
      { id: 3, name: 'd' },
    ]);
    const positions = await readPositions(pool);
    expect(positions.map(({ name, version }) => [name, version.id])).toEqual([
      ['q1', '14'],
      ['q2', '12'],
    ]);
  });

  test('are told as present where the target holds them or newer ones, and not where they wait or are refused', async () => {
    await applierWith().apply([put('1', 'taken', 50)]);
    const [old, waits, before, tooLong, good] = [
      put('1', 'older', 40),
      put('2', 'taken', 60),
      put('2', 'mine', 55),
      put('3', 'x'.repeat(11), 61),
      put('4', 'y', 62),
    ] as [RowMessage, RowMessage, RowMessage, RowMessage, RowMessage];
    const report = await applierWith().applyTogether([
      { position: 'q1', messages: [old, waits, before, tooLong, good] },
    ]);
    expect(report.present).toEqual([old, good]);
    expect(report).toMatchObject({ applied: 1, duplicates: 2, parked: 1, refused: [{ message: tooLong }] });
  });
});

describe('a floor', () => {
  test('that does not stand keeps everything out', async () => {
    const applier = applierWith({ floor: 'floor' });
    await expect(applier.apply([put('1', 'a', 10)], 'q1')).rejects.toThrow(FloorGone);
    expect(await rows()).toEqual([]);
    expect(await readPositions(pool)).toEqual([]);
  });

  test('is stood above: changes at it and below it are of an earlier life, and passed over', async () => {
    await standing('floor', '20');
    const above = put('3', 'c', 21);
    const report = await applierWith({ floor: 'floor' }).applyTogether([
      { position: 'q1', messages: [put('1', 'a', 9), put('2', 'b', 20), above] },
    ]);
    expect(report).toMatchObject({ applied: 1, duplicates: 2, present: [above] });
    expect(await rows()).toEqual([{ id: 3, name: 'c' }]);
  });

  test('is not taken away from under a transaction that stands on it', async () => {
    await standing('floor', '0');
    const holder = await pool.getConnection();
    await holder.query('INSERT INTO items VALUES (1, NULL)');
    await holder.query('START TRANSACTION');
    await holder.query('SELECT * FROM items WHERE id = 1 FOR UPDATE');
    // Stands on the floor and waits for the row.
    const applying = applierWith({ floor: 'floor' }).apply([put('1', 'a', 10)]);
    let taken = false;
    const taking = eventually(async () => {
      const waits = await rowsOf<{ Info: string | null }>(pool, 'SHOW PROCESSLIST');
      return waits.some(({ Info }) => Info?.startsWith('UPDATE JSON_TABLE'));
    }).then(async () => {
      await pool.query(`DELETE FROM ${positionsTable} WHERE name = 'floor'`);
      taken = true;
    });
    await eventually(async () => {
      const waits = await rowsOf<{ Info: string | null }>(pool, 'SHOW PROCESSLIST');
      return waits.some(({ Info }) => Info?.startsWith(`DELETE FROM ${positionsTable}`));
    });
    expect(taken).toBe(false);
    await holder.query('COMMIT');
    holder.release();
    await applying;
    await taking;
    expect(await rows()).toEqual([{ id: 1, name: 'a' }]);
  });
});

describe('who must know of changes that have waited', () => {
  test('is told after they are in the target, again if that failed, and of each at last', async () => {
    const told: string[] = [];
    let failing = true;
    const applier = applierWith({
      async onSettled(table, changes) {
        const inTarget = await rows();
        told.push(
          ...changes.map(({ keyText, version, at }) => `${table.mapping.source} ${keyText} ${version.id} ${at}`),
        );
        expect(inTarget).toEqual([
          { id: 1, name: 'b' },
          { id: 2, name: 'a' },
        ]);
        if (failing) throw new Error('nobody listens');
      },
    });
    await applier.apply([put('1', 'a', 10)]);
    await applier.apply([put('2', 'a', 21)]);
    expect(told).toEqual([]);
    await expect(applier.apply([put('1', 'b', 20)])).rejects.toThrow('nobody listens');
    const line = 'items 2 21 2026-11-21T08:45:42.000001Z';
    expect(told).toEqual([line]);
    failing = false;
    await expect(applier.retryParked()).resolves.toBe(0);
    expect(told).toEqual([line, line]);
    await expect(applier.retryParked()).resolves.toBe(0);
    expect(told).toHaveLength(2);
  });

  test('is told also of the newer change of a row that came to wait meanwhile', async () => {
    const told: string[] = [];
    const plain = applierWith();
    const applier = applierWith({
      async onSettled(_table, changes) {
        told.push(...changes.map(({ keyText, version }) => `${keyText} ${version.id}`));
        if (told.length > 1) return;
        // Row 2 is to have a third row's name by now.
        await plain.apply([put('3', 'c', 30)]);
        await plain.apply([put('2', 'c', 31)]);
      },
    });
    await applier.apply([put('1', 'a', 10)]);
    await applier.apply([put('2', 'a', 21)]);
    await applier.apply([put('1', 'b', 20)]);
    expect(await applier.retryParked()).toBe(1);
    await applier.apply([put('3', 'd', 32)]);
    expect(told).toEqual(['2 21', '2 31']);
    expect(await rows()).toEqual([
      { id: 1, name: 'b' },
      { id: 2, name: 'c' },
      { id: 3, name: 'd' },
    ]);
  });
});
