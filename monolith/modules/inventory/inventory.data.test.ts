import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Commerce, commerceOf } from '../../testing/commerce.ts';
import { startTestShop, type TestAccount, type TestShop } from '../../testing/shop.ts';
import { inTransaction } from '../../transaction.ts';
import { LocalInventory } from './inventory.ts';

let shop: TestShop;
let commerce: Commerce;
let admin: TestAccount;
let customer: TestAccount;

beforeAll(async () => {
  shop = await startTestShop('inventory');
  commerce = await commerceOf(shop);
  admin = await shop.account('admin');
  customer = await shop.account('customer');
});
afterAll(() => shop?.stop());

const adjust = (productId: number, delta: number, headers: Record<string, string> = {}) =>
  admin.client.post(`/api/inventory/${productId}/adjustments`, { delta, reason: 'stocktaking' }, { headers });

describe('inventory', () => {
  test('a product that never had stock shows none, and gets its row with the first adjustment', async () => {
    const productId = await commerce.product({ stock: 0 });
    const before = await shop.client.get(`/api/inventory/${productId}`);
    expect(before.body).toEqual({ product_id: productId, available: 0, version: 0, updated_at: null });
    const answer = await adjust(productId, 7);
    expect(answer.status).toBe(201);
    expect(answer.body.stock).toMatchObject({ product_id: productId, available: 7, version: 2 });
    expect(answer.body.adjustment).toMatchObject({
      delta: 7,
      reason: 'stocktaking',
      account_id: admin.id,
      order_id: null,
    });
    await commerce.balance(productId);
  });

  test('ten first adjustments at once are all counted', async () => {
    const productId = await commerce.product({ stock: 0 });
    const answers = await Promise.all(Array.from({ length: 10 }, () => adjust(productId, 3)));
    expect(answers.map((answer) => answer.status)).toEqual(Array(10).fill(201));
    expect(await commerce.available(productId)).toBe(30);
  });

  test('stock is never taken below zero; the refusal names the product and what is left', async () => {
    const productId = await commerce.product({ stock: 5 });
    const answer = await adjust(productId, -6);
    expect(answer.status).toBe(409);
    expect(answer.body).toMatchObject({ product_id: productId, available: 5 });
    expect((await adjust(productId, -5)).status).toBe(201);
    expect(await commerce.available(productId)).toBe(0);
  });

  test('the database itself refuses a negative level', async () => {
    const productId = await commerce.product({ stock: 1 });
    await expect(
      shop.deps.models.StockLevel.update({ available: -1 }, { where: { product_id: productId } }),
    ).rejects.toThrow(/stock_levels_not_negative/);
  });

  test('with If-Match only the stock that was seen is changed', async () => {
    const productId = await commerce.product({ stock: 5 });
    const etag = (await shop.client.get(`/api/inventory/${productId}`)).headers.get('etag') ?? '';
    const answers = await Promise.all([1, 2, 3].map((delta) => adjust(productId, delta, { 'if-match': etag })));
    expect(answers.map((answer) => answer.status).sort()).toEqual([201, 412, 412]);
    const winner = answers.find((answer) => answer.status === 201);
    expect((await adjust(productId, 1, { 'if-match': winner?.headers.get('etag') ?? '' })).status).toBe(201);
  });

  test('a client that has the stock already is answered 304', async () => {
    const productId = await commerce.product();
    const etag = (await shop.client.get(`/api/inventory/${productId}`)).headers.get('etag') ?? '';
    const again = await shop.client.get(`/api/inventory/${productId}`, { headers: { 'if-none-match': etag } });
    expect(again.status).toBe(304);
  });

  test('the changes are listed newest first, page by page', async () => {
    const productId = await commerce.product({ stock: 0 });
    for (const delta of [1, 2, 3, 4, 5]) await adjust(productId, delta);
    const deltas: number[] = [];
    let cursor = '';
    do {
      const page = await admin.client.get(`/api/inventory/${productId}/adjustments?limit=2${cursor}`);
      deltas.push(...page.body.items.map((item: { delta: number }) => item.delta));
      cursor = page.body.next_cursor === null ? '' : `&cursor=${page.body.next_cursor}`;
    } while (cursor !== '');
    expect(deltas).toEqual([5, 4, 3, 2, 1]);
  });

  test('only administrators adjust, and see adjustments', async () => {
    const productId = await commerce.product();
    const path = `/api/inventory/${productId}/adjustments`;
    expect((await shop.client.get(path)).status).toBe(401);
    expect((await customer.client.get(path)).status).toBe(403);
    expect((await customer.client.post(path, { delta: 1, reason: 'x' })).status).toBe(403);
  });

  test('what is not valid is refused, naming what', async () => {
    const productId = await commerce.product();
    const path = `/api/inventory/${productId}/adjustments`;
    const answer = await admin.client.post(path, { delta: 0, reason: ' ', more: 1 });
    expect(answer.status).toBe(400);
    expect(answer.body.errors.map((error: { path: string }) => error.path).sort()).toEqual(['delta', 'more', 'reason']);
    expect((await admin.client.post(path, { delta: 1.5, reason: 'x' })).status).toBe(400);
    expect((await shop.client.get('/api/inventory/nothing')).status).toBe(400);
    expect((await adjust(productId, 1_000_000)).status).toBe(201);
  });

  test('there is no stock of a product that does not exist, or is archived', async () => {
    expect((await shop.client.get('/api/inventory/999999')).status).toBe(404);
    expect((await adjust(999_999, 1)).status).toBe(404);
    const archived = await commerce.product();
    await shop.deps.models.Product.update({ archived_at: shop.clock.now() }, { where: { id: archived } });
    expect((await shop.client.get(`/api/inventory/${archived}`)).status).toBe(404);
    expect((await adjust(archived, 1)).status).toBe(404);
  });

  test('two takers of the same products in opposite order do not wait for each other in a circle', async () => {
    const inventory = new LocalInventory(shop.deps);
    const [a, b] = [await commerce.product({ stock: 100 }), await commerce.product({ stock: 100 })];
    const cause = await anOrder();
    const take = (ids: number[]) =>
      shop.deps.sequelize.transaction((transaction) =>
        inventory.takeStock(
          ids.map((productId) => ({ productId, quantity: 1 })),
          cause,
          transaction,
        ),
      );
    // Without inTransaction: a deadlock would not be repeated, but fail.
    const outcomes = await Promise.all(Array.from({ length: 20 }, (_, i) => take(i % 2 === 0 ? [a, b] : [b, a])));
    expect(outcomes.every((outcome) => outcome.kind === 'taken')).toBe(true);
    expect([await commerce.available(a), await commerce.available(b)]).toEqual([80, 80]);
  });

  test('what is short is named in full, and nothing is kept of what was taken', async () => {
    const inventory = new LocalInventory(shop.deps);
    const [plenty, few, none] = [
      await commerce.product({ stock: 10 }),
      await commerce.product({ stock: 1 }),
      await commerce.product({ stock: 0 }),
    ];
    const cause = await anOrder();
    const rolledBack = inTransaction(shop.deps.sequelize, async (transaction) => {
      const lines = [plenty, few, none].map((productId) => ({ productId, quantity: 2 }));
      const outcome = await inventory.takeStock(lines, cause, transaction);
      expect(outcome).toEqual({
        kind: 'short',
        shortages: [
          { productId: few, wanted: 2, left: 1 },
          { productId: none, wanted: 2, left: 0 },
        ],
      });
      throw new Error('rolled back');
    });
    await expect(rolledBack).rejects.toThrow('rolled back');
    expect(await commerce.available(plenty)).toBe(10);
  });
});

/** An order for stock to be moved for. */
async function anOrder() {
  const now = shop.clock.now();
  const order = await shop.deps.models.Order.create({
    account_id: customer.id,
    status: 'awaiting_payment',
    total_cents: 1,
    currency: 'EUR',
    created_at: now,
    updated_at: now,
  });
  return { orderId: order.id, accountId: customer.id };
}
