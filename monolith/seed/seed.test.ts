import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ratingAverage } from '../modules/catalogue/rating.ts';
import { createRandom } from './random.ts';
import { MIN_ACCOUNTS, type SqlValue, seedPlan } from './seed-table.ts';
import { seedTables } from './tables.ts';

/** One hash of a password takes longer than all the rest. */
const cheap = { logCost: 4, blockSize: 8, parallelization: 1 };

type Rows = Record<string, Record<string, SqlValue>[]>;

const allRows = async (size: number, seed: number): Promise<Rows> => {
  const plan = seedPlan({ size, seed });
  const tables = await seedTables(plan, cheap);
  return Object.fromEntries(
    tables.map(({ table, columns, rows }) => [
      table,
      [...rows(plan)].map((row) => Object.fromEntries(columns.map((column, at) => [column, row[at] ?? null]))),
    ]),
  );
};

const sizes = fc.integer({ min: 1, max: 40 });
const seeds = fc.integer({ min: 0, max: 2 ** 31 });
const runs = { numRuns: 5 };

describe('the seed', () => {
  test('the same size and seed give the same rows, another seed gives others', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, seeds, async (size, seed) => {
        const once = await allRows(size, seed);
        expect(await allRows(size, seed)).toEqual(once);
        expect(await allRows(size, seed + 1)).not.toEqual(once);
      }),
      runs,
    );
  });

  test('it says beforehand exactly how many rows there will be', async () => {
    const plan = seedPlan({ size: 200, seed: 7 });
    for (const table of await seedTables(plan, cheap)) expect([...table.rows(plan)]).toHaveLength(table.rowCount(plan));
  });

  test('everything refers to what is there, and nothing is there twice', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, seeds, async (size, seed) => {
        const rows = await allRows(size, seed);
        const ids = (table: string) => new Set((rows[table] ?? []).map((row) => row.id));
        const within = (table: string, column: string, target: string) => {
          const known = ids(target);
          for (const row of rows[table] ?? []) expect(row[column] === null || known.has(row[column] ?? 0)).toBe(true);
        };
        within('categories', 'parent_id', 'categories');
        within('products', 'category_id', 'categories');
        within('reviews', 'product_id', 'products');
        within('reviews', 'account_id', 'accounts');
        within('stock_levels', 'product_id', 'products');
        within('orders', 'account_id', 'accounts');
        within('order_items', 'product_id', 'products');
        within('order_items', 'order_id', 'orders');
        within('payments', 'order_id', 'orders');
        const unique = (table: string, ...columns: string[]) => {
          const keys = (rows[table] ?? []).map((row) => columns.map((column) => row[column]).join('|'));
          expect(new Set(keys).size).toBe(keys.length);
        };
        unique('products', 'sku');
        unique('categories', 'slug');
        unique('accounts', 'email');
        unique('reviews', 'product_id', 'account_id');
        unique('order_items', 'order_id', 'product_id');
        unique('payments', 'reference');
      }),
      runs,
    );
  });

  test('ratings are those of the reviews, totals those of the lines', async () => {
    const rows = await allRows(150, 42);
    const stars = Map.groupBy(rows.reviews ?? [], (review) => review.product_id);
    for (const product of rows.products ?? []) {
      const given = (stars.get(product.id ?? 0) ?? []).map((review) => Number(review.rating));
      const sum = given.reduce((a, b) => a + b, 0);
      expect([product.rating_sum, product.rating_count]).toEqual([sum, given.length]);
      expect(product.rating_average).toBe(ratingAverage({ sum, count: given.length }));
    }
    const lines = Map.groupBy(rows.order_items ?? [], (line) => line.order_id);
    for (const order of rows.orders ?? []) {
      const total = (lines.get(order.id ?? 0) ?? []).reduce(
        (sum, line) => sum + Number(line.unit_price_cents) * Number(line.quantity),
        0,
      );
      expect(order.total_cents).toBe(total);
    }
  });

  test('there are about three reviews a product, and not the same number for each', async () => {
    const rows = await allRows(2000, 42);
    const perProduct = Map.groupBy(rows.reviews ?? [], (review) => review.product_id);
    expect((rows.reviews ?? []).length / 2000).toBeCloseTo(3, 0);
    expect(perProduct.size).toBeLessThan(1700);
    expect(Math.max(...[...perProduct.values()].map((all) => all.length))).toBeGreaterThan(15);
  });

  test('the known accounts are always there', async () => {
    const { accounts = [] } = await allRows(1, 9);
    expect(accounts).toHaveLength(MIN_ACCOUNTS);
    expect(accounts[0]).toMatchObject({ id: 1, email: 'admin@shop.example', role: 'admin' });
    expect(accounts[1]).toMatchObject({ id: 2, email: 'customer1@shop.example', role: 'customer' });
  });
});

describe('the generator', () => {
  test('streams with other keys are other streams, and integers stay within their bounds', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), fc.integer({ min: 0, max: 1000 }), (a, b, span) => {
        const stream = createRandom(a, 'x');
        const values = Array.from({ length: 20 }, () => stream.integer(b, b + span));
        expect(values.every((value) => value >= b && value <= b + span && Number.isInteger(value))).toBe(true);
        if (a !== b) expect(createRandom(a).next()).not.toBe(createRandom(b).next());
      }),
    );
  });

  test('it is even: each tenth of the range gets its share', () => {
    const random = createRandom('even');
    const tenths = new Array<number>(10).fill(0);
    for (let draw = 0; draw < 100_000; draw++) tenths[Math.floor(random.next() * 10)]! += 1;
    for (const count of tenths) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });

  test('it gives what it has always given', () => {
    const random = createRandom(42, 'product', 1);
    expect(Array.from({ length: 4 }, () => random.integer(0, 999))).toMatchInlineSnapshot(`
[
  797,
  173,
  618,
  987,
]
`);
  });
});
