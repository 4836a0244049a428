import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { seedManyProducts, startTestCatalog, type TestCatalog } from '../testing/catalog.ts';

let catalog: TestCatalog;
beforeAll(async () => {
  // Without Redis, so that every read comes to the database.
  catalog = await startTestCatalog('statements', { REDIS_URL: '' }, { seed: (pool) => seedManyProducts(pool, 3000) });
});
afterAll(() => catalog?.stop());

/** The statements that the catalogue's pool runs while `work` does. */
async function statementsOf(work: () => Promise<unknown>): Promise<string[]> {
  const { pool } = catalog;
  const original = pool.query;
  const seen: string[] = [];
  Object.assign(pool, {
    query: (...all: unknown[]) => {
      seen.push(String(all[0]));
      return (original as (...all: unknown[]) => unknown).apply(pool, all);
    },
  });
  try {
    await work();
    return seen;
  } finally {
    Object.assign(pool, { query: original });
  }
}

test.each([
  ['/api/products/1', 1],
  ['/api/products?limit=1', 1],
  ['/api/products?limit=100', 1],
  ['/api/products?category=garden&limit=100', 2],
  ['/api/categories', 1],
  ['/api/products/1/reviews?limit=1', 2],
  ['/api/products/1/reviews?limit=100', 2],
])('GET %s takes %i statements, however much it shows', async (path, count) => {
  const statements = await statementsOf(async () => expect((await catalog.send('GET', path)).status).toBe(200));
  expect(statements).toHaveLength(count);
});

test('a page of reviews is read in order of an index, and names by their key', async () => {
  const [, statement = ''] = await statementsOf(() => catalog.send('GET', '/api/products/1/reviews?limit=1'));
  const sql = `EXPLAIN FORMAT=TRADITIONAL ${statement.replace('= ?', '= 1').replace('LIMIT ?', 'LIMIT 2')}`;
  const [plan] = (await catalog.pool.query(sql)) as unknown as [{ Extra: string | null; key: string; type: string }[]];
  expect(plan.map(({ key, type }) => [key, type])).toEqual([
    ['reviews_newest', 'ref'],
    ['PRIMARY', 'eq_ref'],
  ]);
  expect(plan[0]?.Extra ?? '').not.toContain('filesort');
});

test.each(['name', '-name', 'price', '-price', 'rating', 'newest'])(
  'a page sorted by %s is read in order of an index',
  async (sort) => {
    const [statement = ''] = await statementsOf(() => catalog.send('GET', `/api/products?sort=${sort}&limit=1`));
    const [plan] = (await catalog.pool.query(
      `EXPLAIN FORMAT=TRADITIONAL ${statement.replace('LIMIT ?', 'LIMIT 2')}`,
    )) as unknown as [{ Extra: string; key: string }[]];
    expect(plan[0]?.key).toMatch(/^products_by_/);
    expect(plan[0]?.Extra ?? '').not.toContain('filesort');
  },
);
