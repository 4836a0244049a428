import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { pause } from '@strangler/platform/backoff.ts';
import { pino } from 'pino';
import { type Applier, createApplier } from '../apply/applier.ts';
import { mapped, rowMessage } from '../apply/fixture.ts';
import { fillGoods, goodsColumns, readGoods, startGoodsWriters } from '../apply/goods.fixture.ts';
import { backfillTable as checkpointTable, parkedTable, versionsTable } from '../apply/own-tables.ts';
import { capture, createPump, openSides, type PipeSides, type Pump } from '../apply/pipe.fixture.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { backfillTable } from '../backfill/backfill.ts';
import { touchRows } from '../repair/touch.ts';
import { rowsOf } from '../schema/queryable.ts';
import { findOrphans } from './orphans.ts';
import { type RowDifference, type VerifyEvent, type VerifyOptions, verifyContinuously, verifyTable } from './verify.ts';

const log = pino({ level: 'silent' });
const writer = { user: 'operator', request: 'repair' };
let sides: PipeSides;
let goods: MappedTable;
let applier: Applier;
let pump: Pump;

beforeAll(async () => {
  sides = await openSides('verify');
  for (const pool of [sides.source, sides.target]) await pool.query(`CREATE TABLE goods (${goodsColumns})`);
  goods = await mapped(sides, { source: 'goods' });
  await capture(sides, [goods]);
  applier = createApplier({ pool: sides.applyTarget, tables: [goods], log });
  pump = createPump(sides.source, applier);
});

beforeEach(async () => {
  await pump.empty();
  await sides.source.query('DELETE FROM goods');
  await sides.source.query('DELETE FROM strangler_outbox');
  for (const table of ['goods', versionsTable, parkedTable, checkpointTable]) {
    await sides.target.query(`DELETE FROM ${table}`);
  }
});

afterAll(() => sides?.close());

/** Fills the source, copies it, and lets some rows come by the pipe. */
async function copied(count: number): Promise<void> {
  await fillGoods(sides.source, count);
  await sides.source.query('DELETE FROM strangler_outbox');
  for await (const _ of backfillTable({ table: goods, source: sides.readSource, target: sides.applyTarget, log }));
  await sides.source.query("UPDATE goods SET note = 'by the pipe' WHERE no MOD 5 = 0");
  await pump.empty();
  expect(await readGoods(sides.target)).toEqual(await readGoods(sides.source));
}

async function verify(more: Partial<VerifyOptions> = {}, table = goods) {
  const differences: RowDifference[] = [];
  const events: VerifyEvent[] = [];
  for await (const event of verifyTable({ table, source: sides.readSource, target: sides.readTarget, ...more })) {
    events.push(event);
    if (event.kind === 'difference') differences.push(event.difference);
  }
  const end = events.at(-1) as Extract<VerifyEvent, { kind: 'done' }>;
  return { differences, events, end };
}

const damage = (sql: string) => sides.target.query(sql);
const where = (no: number) => `WHERE no = ${no}`;

/** Every kind of damage, each to a row of its own, by the row's number. */
const damages: Record<number, { what: string; sql: string; how: RowDifference['how']; columns: string[] }> = {
  10: { what: 'a value', sql: `price = price + 0.0001`, how: 'changed', columns: ['price'] },
  11: { what: 'a trailing space', sql: `name = CONCAT(name, ' ')`, how: 'changed', columns: ['name'] },
  12: {
    what: 'a microsecond',
    sql: `made_at = made_at + INTERVAL 1 MICROSECOND`,
    how: 'changed',
    columns: ['made_at'],
  },
  13: {
    what: 'a microsecond of an instant',
    sql: `seen_at = seen_at + INTERVAL 1 MICROSECOND`,
    how: 'changed',
    columns: ['seen_at'],
  },
  14: { what: 'the case of a letter', sql: `name = 'kETTLE'`, how: 'changed', columns: ['name'] },
  15: { what: 'NULL for nothing', sql: `note = NULL`, how: 'changed', columns: ['note'] },
  16: { what: 'nothing for NULL', sql: `sku = ''`, how: 'changed', columns: ['sku'] },
  17: { what: 'one bit of bytes', sql: `photo = x'00ff01'`, how: 'changed', columns: ['photo'] },
  18: { what: 'one bit', sql: `bits = bits ^ 1`, how: 'changed', columns: ['bits'] },
  19: { what: 'a document', sql: `document = '{"a": 2}'`, how: 'changed', columns: ['document'] },
  20: { what: 'a member', sql: `size = 'large'`, how: 'changed', columns: ['size'] },
  21: { what: 'a set', sql: `tags = 'a,c'`, how: 'changed', columns: ['tags'] },
  22: { what: 'the last digit of a number', sql: `weight = 0.30000000000000004`, how: 'changed', columns: ['weight'] },
  23: { what: 'the spelling of the key', sql: `shop = UPPER(shop)`, how: 'changed', columns: ['shop'] },
  24: { what: 'an accent', sql: `name = 'Kéttle'`, how: 'changed', columns: ['name'] },
};

/** What the damaged rows are before. */
async function prepareDamaged(): Promise<void> {
  await sides.source.query(
    `UPDATE goods SET shop = 'Nord', name = 'Kettle', note = '', sku = NULL, photo = x'00ff00', bits = 6, document = '{"a": 1}',
       size = 'small', tags = 'a,b', weight = 0.3, made_at = '2026-01-01 00:00:00.999999', seen_at = '2026-01-01 00:00:00.999999'
     WHERE no BETWEEN 10 AND 30`,
  );
  await pump.empty();
}

describe('what was damaged by hand in the target', () => {
  test('is found, every kind of it, told with both images, and mended through the pipe', async () => {
    await copied(400);
    await prepareDamaged();
    for (const [no, { sql }] of Object.entries(damages)) await damage(`UPDATE goods SET ${sql} ${where(Number(no))}`);
    // Values of the same length that two rows have exchanged cancel each other out in a linear checksum.
    await damage(`UPDATE goods SET note = IF(no = 26, 'right', 'wrong') WHERE no IN (26, 27)`);
    await damage(`DELETE FROM goods ${where(31)}`);
    await damage(
      `INSERT INTO goods (shop, no, name) VALUES ('Zuletzt', 1, 'extra'), ('Alles', 5000, 'extra'), ('Nord', 7000, 'x')`,
    );
    const { differences, end } = await verify({ limits: { maxRows: 100 } });
    const byNo = new Map(differences.map((difference) => [difference.key.no, difference]));
    for (const [no, { what, how, columns }] of Object.entries(damages)) {
      expect({ what, how: byNo.get(no)?.how, columns: byNo.get(no)?.columns }).toEqual({ what, how, columns });
    }
    const rest = differences.filter(({ key }) => damages[Number(key.no)] === undefined);
    expect(rest.map(({ how, key }) => `${how} ${key.no}`).sort()).toEqual([
      'changed 26',
      'changed 27',
      'extra 1',
      'extra 5000',
      'extra 7000',
      'missing 31',
    ]);
    expect(byNo.get('15')).toMatchObject({
      expected: { note: '' },
      found: { note: null },
      key: { shop: 'Nord', no: '15' },
    });
    expect(byNo.get('31')).toMatchObject({ found: null, expected: { no: '31' } });
    expect(byNo.get('1')).toMatchObject({ expected: null, found: { shop: 'Zuletzt' } });
    expect(end).toMatchObject({ kind: 'done', complete: true, rowsCompared: 400, unsettled: 0 });
    expect(end.differences).toBe(differences.length);

    const keys = differences.map(({ key }) => Object.values(key));
    const touched = await touchRows({ table: goods, source: sides.source, keys, writer });
    expect(touched.map(({ op }) => op).sort()).toEqual([
      ...Array(3).fill('delete'),
      ...Array(differences.length - 3).fill('upsert'),
    ]);
    expect(touched.map(({ keyText }) => keyText)).toEqual(differences.map(({ keyText }) => keyText));
    const waiting = await verify({ patienceMs: 50 });
    expect(waiting.differences).toEqual([]);
    expect(waiting.end.unsettled).toBe(differences.length);
    await pump.empty();
    expect((await verify()).end).toMatchObject({ differences: 0, unsettled: 0, rowsCompared: 400 });
    expect(await readGoods(sides.target)).toEqual(await readGoods(sides.source));
  }, 180_000);

  test('is found when swapped values leave every column as a whole the same', async () => {
    await copied(200);
    await sides.source.query("UPDATE goods SET note = IF(no = 50, 'right', 'wrong') WHERE no IN (50, 54)");
    await pump.empty();
    await damage("UPDATE goods SET note = IF(no = 54, 'right', 'wrong') WHERE no IN (50, 54)");
    const { differences } = await verify();
    expect(differences.map(({ key }) => key.no).sort()).toEqual(['50', '54']);
  });

  test('in more rows than are wanted ends the comparison', async () => {
    await copied(200);
    await damage('UPDATE goods SET weight = 77');
    const { differences, end } = await verify({ maxDifferences: 20 });
    expect(end).toMatchObject({ kind: 'done', complete: false });
    expect(differences.length).toBeGreaterThan(20);
  });
});

describe('while programs write', () => {
  test('no difference is told that is not there, and all that are', async () => {
    await copied(1500);
    // The writers are at the first thousand; the damage is behind them.
    await damage("UPDATE goods SET note = 'damaged' WHERE no IN (1200, 1400)");
    await damage('DELETE FROM goods WHERE no = 1300');
    const writers = startGoodsWriters(sides.source, 2, 1000, 2);
    pump.start();
    try {
      for (let round = 0; round < 4; round += 1) {
        const { differences, end } = await verify({ limits: { maxRows: 300 }, patienceMs: 30_000 });
        expect(differences.map(({ how, key }) => `${how} ${key.no}`).sort()).toEqual([
          'changed 1200',
          'changed 1400',
          'missing 1300',
        ]);
        expect(end).toMatchObject({ complete: true, unsettled: 0 });
      }
      const keys = (await verify({ patienceMs: 30_000 })).differences.map(({ key }) => Object.values(key));
      await touchRows({ table: goods, source: sides.source, keys, writer });
      const { done } = await writers.stop();
      expect(done).toBeGreaterThan(100);
    } finally {
      await writers.stop().catch(() => {});
      await pump.stop();
    }
    await pump.empty();
    expect((await verify()).end).toMatchObject({ differences: 0, unsettled: 0 });
    expect(await readGoods(sides.target)).toEqual(await readGoods(sides.source));
  }, 180_000);

  test('a row that is written all the time, and applied in leaps, is settled all the same', async () => {
    await copied(20);
    const stop = new AbortController();
    const { signal } = stop;
    const writing = (async () => {
      while (!signal.aborted) {
        await sides.source.query("UPDATE goods SET note = CONCAT('write ', UUID()) WHERE no = 7");
        await pause(1, signal);
      }
    })();
    // Dozens of versions at a leap, so that hardly any of them is ever there to be seen.
    const leaping = createPump(sides.source, applier, 5000);
    const applying = (async () => {
      while (!signal.aborted) {
        await pause(100, signal);
        await leaping.once();
      }
    })();
    try {
      for (let round = 0; round < 3; round += 1) {
        const { differences, end } = await verify({ patienceMs: 30_000 });
        expect(differences).toEqual([]);
        expect(end).toMatchObject({ complete: true, unsettled: 0 });
      }
    } finally {
      stop.abort();
      await Promise.all([writing, applying]);
    }
  }, 180_000);

  test('a change that does not come is told as unsettled, never as a difference', async () => {
    await copied(100);
    await sides.source.query("UPDATE goods SET note = 'on its way' WHERE no = 40");
    await sides.source.query('DELETE FROM goods WHERE no = 41');
    const { differences, events, end } = await verify({ patienceMs: 50 });
    expect(differences).toEqual([]);
    expect(end).toMatchObject({ kind: 'done', unsettled: 2, differences: 0 });
    expect(events.filter(({ kind }) => kind === 'unsettled')).toHaveLength(2);
    await pump.empty();
    expect((await verify()).end).toMatchObject({ unsettled: 0, differences: 0 });
  });

  test('rows whose changes the outbox has let go of are compared all the same', async () => {
    await copied(100);
    await sides.source.query('DELETE FROM strangler_outbox');
    await damage("UPDATE goods SET note = 'damaged' WHERE no IN (40, 41)");
    const { differences } = await verify();
    expect(differences.map(({ key }) => key.no).sort()).toEqual(['40', '41']);
  });

  test('round after round can be asked for', async () => {
    await copied(50);
    const stop = new AbortController();
    const ends: VerifyEvent[] = [];
    for await (const event of verifyContinuously({
      tables: [goods],
      source: sides.readSource,
      target: sides.readTarget,
      pauseMs: 1,
      signal: stop.signal,
    })) {
      if (event.kind !== 'done') continue;
      ends.push(event);
      if (ends.length === 2) await damage("UPDATE goods SET note = 'damaged' WHERE no = 7");
      if (ends.length === 4) stop.abort();
    }
    expect(ends.map((end) => (end.kind === 'done' ? end.differences : -1))).toEqual([0, 0, 1, 1]);
  });
});

describe('tables that are not alike', () => {
  test('are compared by what the mapping makes of the source', async () => {
    await sides.source.query(
      'CREATE TABLE parts (code VARCHAR(10) CHARACTER SET latin1 COLLATE latin1_swedish_ci PRIMARY KEY, price DECIMAL(10,2) NOT NULL, title VARCHAR(40) NULL, at DATETIME(3) NULL)',
    );
    // In another order: the target compares letters as they are.
    await sides.target.query(
      'CREATE TABLE pieces (code VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, price DECIMAL(14,4) NOT NULL, cents INT NOT NULL, label TEXT NULL, words DECIMAL(5,1) NOT NULL, at DATETIME(6) NULL)',
    );
    const rows = ['b', 'A', 'ä', 'Z', 'c', 'X y', '~'].map((code, index) => [
      code,
      `${index}.5`,
      index % 2 ? null : `t ${code}`,
      '2026-01-02 03:04:05.678',
    ]);
    await sides.source.query('INSERT INTO parts VALUES ?', [rows]);
    const parts = await mapped(sides, {
      source: 'parts',
      target: 'pieces',
      columns: [
        { target: 'code', from: 'column', column: 'code' },
        { target: 'price', from: 'column', column: 'price' },
        { target: 'cents', from: 'sql', sql: 'price * 100', columns: ['price'] },
        { target: 'label', from: 'sql', sql: 'UPPER(title)', columns: ['title'] },
        { target: 'words', from: 'transform' },
        { target: 'at', from: 'column', column: 'at' },
      ],
      transform: {
        sourceColumns: ['title'],
        targetColumns: ['words'],
        toTarget: ({ title }) => ({ words: String(title?.split(' ').length ?? 0) }),
        toSource: () => ({}),
      },
    });
    for await (const _ of backfillTable({ table: parts, source: sides.readSource, target: sides.applyTarget, log }));
    expect((await verify({}, parts)).end).toMatchObject({
      rowsCompared: 7,
      differences: 0,
      unsettled: 0,
      complete: true,
    });
    await damage("UPDATE pieces SET cents = cents + 1 WHERE code = 'Z'");
    await damage("UPDATE pieces SET words = 9 WHERE code = 'X y'");
    await damage("UPDATE pieces SET at = at + INTERVAL 1 MICROSECOND WHERE code = '~'");
    await damage("DELETE FROM pieces WHERE code = 'c'");
    await damage("INSERT INTO pieces VALUES ('q', 1, 100, NULL, 0, NULL)");
    const { differences } = await verify({}, parts);
    expect(differences.map(({ how, key, columns }) => `${how} ${key.code} ${columns}`).sort()).toEqual([
      'changed X y words',
      'changed Z cents',
      'changed ~ at',
      'extra q ',
      'missing c ',
    ]);
  });

  test('which are empty, on either side, are compared too', async () => {
    expect((await verify()).end).toMatchObject({ rowsCompared: 0, differences: 0 });
    await damage("INSERT INTO goods (shop, no, name) VALUES ('Nord', 1, 'extra')");
    expect((await verify()).differences.map(({ how }) => how)).toEqual(['extra']);
    await sides.target.query('DELETE FROM goods');
    await sides.source.query("INSERT INTO goods (shop, no, name) VALUES ('Nord', 2, 'new')");
    await sides.source.query('DELETE FROM strangler_outbox');
    expect((await verify()).differences.map(({ how }) => how)).toEqual(['missing']);
  });
});

test('rows that point at no row are counted, whichever came first', async () => {
  await sides.target.query('CREATE TABLE parents (id INT PRIMARY KEY, child_id INT NULL)');
  await sides.target.query(
    'CREATE TABLE children (id INT PRIMARY KEY, parent_id INT NULL, CONSTRAINT of_parent FOREIGN KEY (parent_id) REFERENCES parents (id) ON DELETE CASCADE)',
  );
  await sides.target.query(
    'ALTER TABLE parents ADD CONSTRAINT of_child FOREIGN KEY (child_id) REFERENCES children (id)',
  );
  for (const [table, other] of [
    ['parents', 'child_id'],
    ['children', 'parent_id'],
  ]) {
    await sides.source.query(`CREATE TABLE ${table} (id INT PRIMARY KEY, ${other} INT NULL)`);
  }
  const parents = await mapped(sides, { source: 'parents' });
  const children = await mapped(sides, { source: 'children' });
  const family = createApplier({ pool: sides.applyTarget, tables: [parents, children], log });
  const put = (table: string, id: string, pointer: Record<string, string | null>, version: number) =>
    rowMessage(table, 'upsert', { id }, { id, ...pointer }, { epoch: 1, id: String(version) });
  // Each points at the other, and the child comes first.
  await expect(
    family.apply([put('children', '1', { parent_id: '1' }, 2), put('children', '2', { parent_id: '9' }, 3)]),
  ).resolves.toMatchObject({ applied: 2 });
  expect(await findOrphans(sides.target, children.target)).toEqual([
    { foreignKey: 'of_parent', table: 'children', referencedTable: 'parents', rows: 2 },
  ]);
  await family.apply([put('parents', '1', { child_id: '1' }, 4), put('parents', '9', { child_id: null }, 5)]);
  expect(await findOrphans(sides.target, children.target)).toEqual([]);
  expect(await findOrphans(sides.target, parents.target)).toEqual([]);
  // A parent that goes does not take its children with it: their own deletes are on the way.
  await family.apply([rowMessage('parents', 'delete', { id: '9' }, null, { epoch: 1, id: '7' })]);
  expect(await rowsOf(sides.target, 'SELECT id FROM children ORDER BY id')).toEqual([{ id: 1 }, { id: 2 }]);
  await family.apply([rowMessage('children', 'delete', { id: '2' }, null, { epoch: 1, id: '6' })]);
  expect(await findOrphans(sides.target, children.target)).toEqual([]);
});
