import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { mapped } from '../apply/fixture.ts';
import { goodsColumns } from '../apply/goods.fixture.ts';
import { capture, openSides, type PipeSides } from '../apply/pipe.fixture.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { rowsOf } from '../schema/queryable.ts';
import { NotCaptured, touchRows } from './touch.ts';

const writer = { user: 'operator@here', request: 'repair' };
let sides: PipeSides;
let goods: MappedTable;
let plain: MappedTable;

beforeAll(async () => {
  sides = await openSides('touch');
  for (const pool of [sides.source, sides.target]) {
    await pool.query(`CREATE TABLE goods (${goodsColumns})`);
    await pool.query('CREATE TABLE plain (id INT PRIMARY KEY, v INT NULL)');
  }
  goods = await mapped(sides, { source: 'goods' });
  // Of the same slice, but without triggers of its own.
  plain = await mapped(sides, { source: 'plain' });
  await capture(sides, [goods], 4);
});

beforeEach(async () => {
  for (const table of ['goods', 'plain', outboxTable]) await sides.source.query(`DELETE FROM ${table}`);
});

afterAll(() => sides?.close());

const touch = (table: MappedTable, ...keys: string[][]) => touchRows({ table, source: sides.source, keys, writer });
const recorded = () =>
  rowsOf<{
    id: string;
    epoch: number;
    op: string;
    subject_key: string;
    part: number;
    payload: string;
    headers: string;
  }>(
    sides.source,
    `SELECT CAST(o.id AS CHAR) AS id, epoch, op, part, topic, CONVERT(subject_key USING utf8mb4) AS subject_key, payload, headers
     FROM ${outboxTable} AS o ORDER BY o.id`,
  );

test('a row is recorded as its capture would, under a new version and the name of who repairs', async () => {
  await sides.source.query(
    `INSERT INTO goods SET shop = 'süd', no = 18446744073709551615, sku = 'x ', name = '🫖', photo = x'00ff', bits = 9, tags = 'a,c'`,
  );
  const [version] = await touch(goods, ['SÜD', '18446744073709551615']).then((touched) =>
    touched.map((one) => one.version),
  );
  const [captured, touched, ...more] = await recorded();
  expect(more).toEqual([]);
  const { id, headers, ...rest } = touched!;
  const { id: before, headers: _, ...expected } = captured!;
  expect({ ...rest, payload: JSON.parse(rest.payload) }).toEqual({
    ...expected,
    payload: JSON.parse(expected.payload),
  });
  expect(version).toEqual({ epoch: 4, id });
  expect(BigInt(id)).toBeGreaterThan(BigInt(before));
  expect(JSON.parse(headers)).toEqual(writer);
});

test('where the source has no row, a delete is recorded', async () => {
  await expect(touch(goods, ['Nord', '5'])).resolves.toMatchObject([{ op: 'delete', version: { epoch: 4 } }]);
  const [only] = await recorded();
  expect(JSON.parse(only!.payload)).toEqual({ key: { shop: 'Nord', no: '5' }, image: null });
});

test('a row that a writer holds is waited for, and recorded after him', async () => {
  await sides.source.query("INSERT INTO goods SET shop = 'Nord', no = 1, name = 'old'");
  const held = await sides.source.getConnection();
  try {
    await held.query('START TRANSACTION');
    await held.query("UPDATE goods SET name = 'new' WHERE shop = 'Nord' AND no = 1");
    await held.query("INSERT INTO goods SET shop = 'Nord', no = 2, name = 'just in time'");
    const touching = touch(goods, ['Nord', '1'], ['Nord', '2']);
    await eventually(async () => (await waitingForLocks()) > 0);
    await held.query('COMMIT');
    const touched = await touching;
    expect(touched.map(({ op }) => op)).toEqual(['upsert', 'upsert']);
    const rows = await recorded();
    const images = rows.slice(-2).map(({ payload }) => JSON.parse(payload).image.name);
    expect(images).toEqual(['new', 'just in time']);
    expect(touched[0]?.version.id).toBe(rows.at(-2)?.id);
  } finally {
    await held.query('ROLLBACK');
    held.release();
  }
});

test('no row can be inserted between the look that finds none and the delete that is recorded', async () => {
  await sides.source.query('INSERT INTO plain VALUES (1, 1), (9, 9)');
  const blocker = await sides.source.getConnection();
  const inserter = await sides.source.getConnection();
  try {
    // The repair has looked, and cannot record yet.
    await blocker.query(`LOCK TABLES ${outboxTable} READ`);
    const touching = touch(plain, ['5']);
    await eventually(async () => (await waitingForTables()) > 0);
    await inserter.query('SET SESSION innodb_lock_wait_timeout = 1');
    await expect(inserter.query('INSERT INTO plain VALUES (5, 5)')).rejects.toMatchObject({ errno: 1205 });
    await blocker.query('UNLOCK TABLES');
    await expect(touching).resolves.toMatchObject([{ op: 'delete' }]);
    await inserter.query('INSERT INTO plain VALUES (5, 5)');
  } finally {
    await blocker.query('UNLOCK TABLES');
    await inserter.query('SET SESSION innodb_lock_wait_timeout = DEFAULT');
    blocker.release();
    inserter.release();
  }
});

test('a slice that is not captured is not repaired', async () => {
  const other: MappedTable = { ...goods, mapping: { ...goods.mapping, slice: 'elsewhere' } };
  await expect(touch(other, ['Nord', '1'])).rejects.toBeInstanceOf(NotCaptured);
});

/** Sessions in this database that run a locking read. */
async function waitingForLocks(): Promise<number> {
  return await running('%FOR UPDATE%');
}

async function waitingForTables(): Promise<number> {
  return await running(`INSERT INTO ${outboxTable}%`);
}

async function running(statement: string): Promise<number> {
  const [found] = await rowsOf<{ n: number }>(
    sides.source,
    `SELECT COUNT(*) AS n FROM information_schema.processlist
     WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE ?`,
    [statement],
  );
  return found?.n ?? 0;
}
