import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import { type CapturedDatabase, capturedDatabase, slice } from '../capture/capture-fixture.ts';
import { planCapture } from '../capture/capture-plan.ts';
import { findDrift } from '../capture/drift.ts';
import { installCapture } from '../capture/install-capture.ts';
import { retireTables, reviveTables } from '../stages/retire-tables.ts';
import { endedCopies } from './ended-copies.ts';

let db: CapturedDatabase;
const of = (source: string, until: string | null): SliceTable => ({
  ...{ source, target: source, key: null, columns: null, transform: null },
  ...{ reference: until !== null, until },
});
const tables = [of('orders', null), of('products', 'catalog')];
const planOf = async (name: string) => {
  const source = await db.table(name);
  const captured = source.columns.map((column) => column.name);
  return planCapture({ slice, source, dialect: db.server.dialect, captured });
};
const retiring = () => ({ slice: 'catalog', database: db.name, tables: ['products'] });

beforeAll(async () => {
  db = await capturedDatabase('ended');
  await db.pool.query('CREATE TABLE orders (id INT PRIMARY KEY)');
  await db.pool.query('CREATE TABLE products (id INT PRIMARY KEY, name VARCHAR(20))');
  await db.pool.query("INSERT INTO products VALUES (1, 'lamp')");
  await db.capture({ orders: 'all', products: 'all' });
});
afterAll(() => db?.drop());

test('the copying of a table ends when its own slice puts it away, and goes on when that is taken back', async () => {
  expect(await endedCopies({ tables }, db.pool)).toEqual([]);

  await retireTables(db.pool, retiring());
  expect(await endedCopies({ tables }, db.pool)).toEqual([tables[1]]);
  const remaining = [await planOf('orders')];
  expect(await findDrift(db.pool, db.name, slice, remaining)).toEqual([]);
  await installCapture(db.pool, { slice, database: db.name, epoch: 1, plans: remaining });
  await db.take();
  await db.pool.query('INSERT INTO orders VALUES (7)');
  expect(await db.take()).toMatchObject([{ table: 'orders' }]);

  await reviveTables(db.pool, retiring());
  expect(await endedCopies({ tables }, db.pool)).toEqual([]);
  expect(await findDrift(db.pool, db.name, slice, [...remaining, await planOf('products')])).toEqual([]);
  await db.pool.query("UPDATE products SET name = 'a lamp' WHERE id = 1");
  expect(await db.take()).toMatchObject([{ table: 'products', op: 'upsert', key: { id: '1' } }]);
});

test('a table that is not there at all has not ended: it is missing', async () => {
  expect(await endedCopies({ tables: [of('gone', 'catalog')] }, db.pool)).toEqual([]);
});
