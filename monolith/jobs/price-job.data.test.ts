import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { countStatements } from '@strangler/platform/mysql/sequelize.ts';
import { startTestShop, type TestAccount, type TestShop } from '../testing/shop.ts';
import { nightlyRules, runPriceJob } from './price-job.ts';

let shop: TestShop;
let admin: TestAccount;

const add = async (sku: string, rating: { stars: number; count: number }): Promise<string> => {
  const { body } = await admin.client.post('/api/products', { sku, name: sku, category_id: 1, price_cents: 1999 });
  await shop.database.models.Product.update(
    { rating_sum: rating.stars * rating.count, rating_count: rating.count, rating_average: rating.stars },
    { where: { id: body.id } },
  );
  return `/api/products/${body.id}`;
};

beforeAll(async () => {
  shop = await startTestShop('price_job');
  admin = await shop.account('admin');
  await admin.client.post('/api/categories', { name: 'c', slug: 'c' });
});

afterAll(() => shop?.stop());

test('prices change by rule, in one statement a rule, and readers see it at once by price and ETag', async () => {
  const poor = await add('POOR', { stars: 1, count: 3 });
  const loved = await add('LOVED', { stars: 5, count: 10 });
  const plain = await add('PLAIN', { stars: 3, count: 100 });
  const before = await shop.client.get(poor);
  const { result, statements } = await countStatements(shop.database.sequelize, () =>
    runPriceJob({ writes: shop.deps.catalogue.writes }),
  );
  expect(statements.filter((sql) => /^\s*UPDATE products/.test(sql))).toHaveLength(nightlyRules.length);
  expect(result).toEqual([
    { rule: 'clearance', changed: 1 },
    { rule: 'favourites', changed: 1 },
  ]);
  const price = async (path: string) => (await shop.client.get(path)).body.price_cents;
  expect([await price(poor), await price(loved), await price(plain)]).toEqual([1799, 2059, 1999]);
  const ifNoneMatch = { headers: { 'if-none-match': before.headers.get('etag') ?? '' } };
  expect((await shop.client.get(poor, ifNoneMatch)).status).toBe(200);
});

test('a product that a rule has changed tells the very millisecond of it', async () => {
  const path = await add('MOMENT', { stars: 1, count: 5 });
  const told = async () => {
    const from = shop.clock.now().getTime();
    await runPriceJob({ writes: shop.deps.catalogue.writes });
    const at = Date.parse((await shop.client.get(path)).body.updated_at);
    return { at, isWithin: at >= from && at <= shop.clock.now().getTime() };
  };
  const moments = [await told(), await told(), await told()];
  expect(moments.filter(({ isWithin }) => !isWithin)).toEqual([]);
});

test('an admin who has read the old price cannot overwrite the new one unaware', async () => {
  const path = await add('RACE', { stars: 1, count: 5 });
  const { headers } = await shop.client.get(path);
  await runPriceJob({ writes: shop.deps.catalogue.writes });
  const stale = await admin.client.patch(
    path,
    { price_cents: 1 },
    { headers: { 'if-match': headers.get('etag') ?? '' } },
  );
  expect(stale.status).toBe(412);
});
