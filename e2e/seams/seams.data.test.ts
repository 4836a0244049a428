import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runPriceJob } from '@strangler/monolith/jobs/price-job.ts';
import type { CatalogueWrites } from '@strangler/monolith/modules/catalogue/owner/catalogue-writes.ts';
import { startTestProvider, type TestProvider } from '@strangler/monolith/testing/payment-provider.ts';
import type { TestAccount } from '@strangler/monolith/testing/shop.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { rowsOf, startTwoSides, type TwoSides } from './two-sides.fixture.ts';

let sides: TwoSides;
let admin: TestAccount;
let categoryId: number;
let provider: TestProvider;

beforeAll(async () => {
  provider = await startTestProvider();
  sides = await startTwoSides('seams', { PAYMENT_PROVIDER_URL: provider.url });
  admin = await sides.shop.account('admin');
  const { body } = await admin.client.post('/api/categories', { name: 'Seams', slug: 'seams' });
  categoryId = body.id;
}, 180_000);
afterAll(async () => {
  await sides?.stop();
  await provider?.stop();
}, 180_000);

type Product = { path: string; id: number; etag: string };

const create = async (sku: string, fields: Record<string, unknown> = {}): Promise<Product> => {
  const wanted = { sku, name: sku, category_id: categoryId, price_cents: 1_000, ...fields };
  const { status, body, headers } = await admin.client.post('/api/products', wanted);
  expect(status).toBe(201);
  return { path: `/api/products/${body.id}`, id: body.id, etag: headers.get('etag') ?? '' };
};

const rowOf = async (side: 'monolith' | 'service', id: number) => {
  const sql = 'SELECT price_cents, version, rating_count FROM products WHERE id = ?';
  const [row] = await rowsOf<{ price_cents: number; version: number; rating_count: number }>(
    sides.databases[side],
    sql,
    [id],
  );
  return row;
};

/** Writes one after another for as long as it is let, each under the ETag of the one before. */
function keepWriting(name: string) {
  let stopped = false;
  let created = 0;
  let patched = 0;
  const run = async () => {
    let product = await create(`${name}-0`);
    created = 1;
    for (let n = 1; !stopped; n += 1) {
      const answer = await admin.client.patch(
        product.path,
        { price_cents: 1_000 + n },
        { headers: { 'if-match': product.etag } },
      );
      // A write that was lost or done twice would have changed the ETag unseen.
      expect(answer.status).toBe(200);
      expect(answer.body.price_cents).toBe(1_000 + n);
      patched += 1;
      product = { ...product, etag: answer.headers.get('etag') ?? '' };
      if (n % 5 === 0) {
        product = await create(`${name}-${n}`);
        created += 1;
      }
    }
  };
  const running = run();
  return {
    patches: () => patched,
    stop: async () => {
      stopped = true;
      await running;
      return { created, patched };
    },
  };
}

describe('clients that write past the proxy while the ownership moves', () => {
  test('to the service and back see no failure, and each write is there exactly once', async () => {
    const writers = Array.from({ length: 4 }, (_, n) => keepWriting(`WRITER${n}`));
    const goOn = async () => {
      const from = writers.map((writer) => writer.patches());
      await eventually(() => writers.every((writer, n) => writer.patches() > from[n]! + 3));
    };
    await goOn();
    await sides.moveTo('service');
    await goOn();
    await sides.callOff(async () => {});
    await goOn();
    await sides.moveTo('monolith');
    await goOn();
    await sides.moveTo('service');
    await goOn();
    const done = await Promise.all(writers.map((writer) => writer.stop()));

    const created = done.reduce((sum, each) => sum + each.created, 0);
    const patched = done.reduce((sum, each) => sum + each.patched, 0);
    const [found] = await rowsOf<{ products: string; writes: string }>(
      sides.databases.service,
      "SELECT COUNT(*) AS products, SUM(version - 1) AS writes FROM products WHERE sku LIKE 'WRITER%'",
    );
    expect({ products: Number(found?.products), writes: Number(found?.writes) }).toEqual({
      products: created,
      writes: patched,
    });
  }, 180_000);
});

describe('once the service owns the writes', () => {
  test('a client of the shop gets the answers that it always got, and reads what it wrote', async () => {
    const product = await create('SAME');
    expect(await rowOf('monolith', product.id)).toBeUndefined();
    const read = await admin.client.get(product.path);
    expect(read.headers.get('etag')).toBe(product.etag);
    const patch = (headers: Record<string, string>) =>
      admin.client.patch(product.path, { price_cents: 5 }, { headers });
    expect((await patch({})).status).toBe(428);
    expect((await patch({ 'if-match': '"other"' })).status).toBe(412);
    expect((await patch({ 'if-match': product.etag })).status).toBe(200);
    expect((await admin.client.get(product.path, { headers: { 'if-none-match': product.etag } })).status).toBe(200);
    const again = { sku: 'SAME', name: 'x', category_id: categoryId, price_cents: 1 };
    expect((await admin.client.post('/api/products', again)).status).toBe(409);
    const bad = await admin.client.post('/api/products', { ...again, sku: 'OTHER', category_id: 999_999 });
    expect(bad).toMatchObject({ status: 400, body: { errors: [{ in: 'body', path: 'category_id' }] } });
    expect((await admin.client.delete('/api/products/999999', { headers: { 'if-match': '*' } })).status).toBe(404);
    expect((await admin.client.delete(product.path, { headers: { 'if-match': '*' } })).status).toBe(204);
    expect((await admin.client.get(product.path)).status).toBe(404);
  });

  test('a customer whom the service has never heard of reviews a product through the shop', async () => {
    const product = await create('REVIEWED');
    const customer = await sides.shop.account('customer', 'Nova Newcomer');
    const review = { rating: 5, title: 'Good', body: 'Very good.' };
    const written = await customer.client.post(`${product.path}/reviews`, review);
    expect(written).toMatchObject({ status: 201, body: { author: { display_name: 'Nova Newcomer' } } });
    expect((await customer.client.post(`${product.path}/reviews`, review)).status).toBe(409);
    const listed = await customer.client.get(`${product.path}/reviews`);
    expect(listed.body.items).toHaveLength(1);
    const removed = await customer.client.delete(`${product.path}/reviews/${written.body.id}`);
    expect(removed.status).toBe(204);
    expect(await rowOf('service', product.id)).toMatchObject({ rating_count: 0, version: 3 });
  });

  test('categories are written there', async () => {
    const { status, body } = await admin.client.post('/api/categories', { name: 'There', slug: 'there' });
    expect(status).toBe(201);
    const renamed = await admin.client.put(`/api/categories/${body.id}`, { name: 'Still there', slug: 'there' });
    expect(renamed).toMatchObject({ status: 200, body: { name: 'Still there' } });
    expect((await admin.client.delete(`/api/categories/${body.id}`)).status).toBe(204);
    expect((await admin.client.delete(`/api/categories/${categoryId}`)).status).toBe(409);
  });

  test('both sides say so in their health', async () => {
    for (const url of [sides.shop.url, sides.catalog.server.url]) {
      const health = (await (await fetch(`${url}/health/ready`)).json()) as { checks: Record<string, string> };
      expect(health.checks.ownership).toMatch(/^ok: writes of catalog are the service’s under epoch \d+$/);
    }
  });
});

describe('the price job', () => {
  const prices = (below: number) => ({ priceCentsAtLeast: below - 49, priceCentsAtMost: below });
  const rules = [200, 300, 400, 500].map((below) => ({ name: `below-${below}`, percent: 110, ...prices(below) }));

  test.each([
    ['to the service', 'monolith', 'service'],
    ['back to the shop', 'service', 'monolith'],
  ] as const)(
    'across a flip %s changes each price once',
    async (name, from, to) => {
      if ((await sides.flags.store.get('catalog'))?.document.writes.owner !== from) await sides.moveTo(from);
      const goods = [];
      for (const price_cents of [190, 290, 390, 490]) {
        goods.push(await create(`JOB-${to}-${price_cents}`.toUpperCase(), { price_cents }));
      }
      const real = sides.shop.deps.catalogue.writes;
      let asked = 0;
      let moving: Promise<void> | undefined;
      const writes: Pick<CatalogueWrites, 'applyPriceRule'> = {
        applyPriceRule: async (run, rule) => {
          asked += 1;
          if (asked !== 3) return real.applyPriceRule(run, rule);
          // The third rule comes when neither side takes writes; the ownership goes on once it has met the fence.
          const fenced = Promise.withResolvers<void>();
          const applied = fenced.promise.then(() => real.applyPriceRule(run, rule));
          moving = sides.moveTo(to, async () => fenced.resolve());
          return applied;
        },
      };
      const result = await runPriceJob({ writes, rules });
      await moving;
      expect(result.map(({ changed }) => changed)).toEqual([1, 1, 1, 1]);
      const after = await Promise.all(goods.map(({ id }) => rowOf(to, id)));
      expect(after.map((row) => row?.price_cents)).toEqual([209, 319, 429, 539]);
      expect(after.map((row) => row?.version)).toEqual([2, 2, 2, 2]);
      expect(name).toBeDefined();
      for (const { path } of goods) await admin.client.delete(path, { headers: { 'if-match': '*' } });
    },
    60_000,
  );

  test('asked twice for the same run, the service changes each price once', async () => {
    await sides.moveTo('service');
    const product = await create('TWICE', { price_cents: 190 });
    const { writes } = sides.shop.deps.catalogue;
    const rule = { name: 'twice', percent: 110, ...prices(210) };
    expect(await writes.applyPriceRule('run-1', rule)).toBe(1);
    expect(await writes.applyPriceRule('run-1', rule)).toBe(1);
    expect(await rowOf('service', product.id)).toMatchObject({ price_cents: 209, version: 2 });
  });
});

describe('when the slice is complete', () => {
  test('the shop sells without tables of its own: cart, stock, checkout and orders ask the service', async () => {
    const owned = (await sides.flags.store.get('catalog'))?.document;
    expect(owned?.writes.owner).toBe('service');
    const product = await create('COMPLETE', { price_cents: 700 });
    await sides.flags.set('service', owned?.epoch ?? 0, 'complete');
    await sides.shop.deps.catalogue.owner?.until((said) => said?.stage === 'complete', 10_000);
    await putTablesAway();

    const stocked = await admin.client.post(`/api/inventory/${product.id}/adjustments`, { delta: 5, reason: 'new' });
    expect(stocked.status).toBe(201);
    const customer = await sides.shop.account('customer');
    const filled = await customer.client.put(`/api/cart/items/${product.id}`, { quantity: 2 });
    expect(filled).toMatchObject({ status: 200, body: { total_cents: 1_400, items: [{ name: 'COMPLETE' }] } });
    expect((await customer.client.put('/api/cart/items/999999', { quantity: 1 })).status).toBe(404);

    await admin.client.patch(product.path, { price_cents: 800 }, { headers: { 'if-match': '*' } });
    const checkOut = (expected_total_cents: number) =>
      customer.client.post(
        '/api/checkout',
        { card_token: 'tok_visa', expected_total_cents },
        { headers: { 'idempotency-key': `complete-${expected_total_cents}` } },
      );
    expect(await checkOut(1_400)).toMatchObject({ status: 409, body: { total_cents: 1_600 } });
    const sold = await checkOut(1_600);
    expect(sold).toMatchObject({ status: 201, body: { order: { total_cents: 1_600 } } });
    const order = await customer.client.get(`/api/orders/${sold.body.order.id}`);
    expect(order.body.items[0].product).toMatchObject({ sku: 'COMPLETE', price_cents: 800, on_sale: true });

    expect((await admin.client.delete(product.path, { headers: { 'if-match': '*' } })).status).toBe(204);
    const later = await customer.client.get(`/api/orders/${sold.body.order.id}`);
    expect(later.body.items[0].product).toMatchObject({ sku: 'COMPLETE', on_sale: false });
    expect((await customer.client.put(`/api/cart/items/${product.id}`, { quantity: 1 })).status).toBe(404);
    expect((await admin.client.get(`/api/inventory/${product.id}`)).status).toBe(404);
  }, 180_000);
});

/** As the last step of a slice does: nothing refers to the tables any more, and they have another name. */
async function putTablesAway(): Promise<void> {
  const pool = sides.databases.monolith;
  const keys = await rowsOf<{ t: string; k: string }>(
    pool,
    `SELECT TABLE_NAME AS t, CONSTRAINT_NAME AS k FROM information_schema.REFERENTIAL_CONSTRAINTS
      WHERE CONSTRAINT_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IN ('products', 'categories')`,
  );
  for (const { t, k } of keys) await pool.query('ALTER TABLE ?? DROP FOREIGN KEY ??', [t, k]);
  for (const table of ['reviews', 'products', 'categories']) {
    await pool.query('RENAME TABLE ?? TO ??', [table, `${table}_retired`]);
  }
}
