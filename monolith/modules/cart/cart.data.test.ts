import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { countStatements } from '@strangler/platform/mysql/sequelize.ts';
import { type Commerce, commerceOf } from '../../testing/commerce.ts';
import { startTestShop, type TestAccount, type TestShop } from '../../testing/shop.ts';
import { mostCartLines } from './cart.ts';

let shop: TestShop;
let commerce: Commerce;
let buyer: TestAccount;

beforeAll(async () => {
  shop = await startTestShop('cart');
  commerce = await commerceOf(shop);
});
afterAll(() => shop?.stop());
beforeEach(async () => {
  buyer = await shop.account('customer');
});

const put = (productId: number, quantity: unknown) => buyer.client.put(`/api/cart/items/${productId}`, { quantity });

describe('the cart', () => {
  test('a customer who has put nothing in has an empty cart', async () => {
    expect((await buyer.client.get('/api/cart')).body).toEqual({ items: [], total_cents: 0, currency: null });
  });

  test('setting a quantity again replaces it', async () => {
    const productId = await commerce.product({ priceCents: 250 });
    await put(productId, 2);
    const answer = await put(productId, 3);
    expect(answer.body).toEqual({
      items: [
        {
          product_id: productId,
          name: 'A thing',
          unit_price_cents: 250,
          currency: 'EUR',
          quantity: 3,
          line_total_cents: 750,
          availability: 'available',
        },
      ],
      total_cents: 750,
      currency: 'EUR',
    });
  });

  test('setting the quantity that is there already changes nothing and is no error', async () => {
    const productId = await commerce.product({});
    const first = await put(productId, 2);
    const again = await put(productId, 2);
    expect([again.status, again.body]).toEqual([200, first.body]);
  });

  test('lines that cannot be bought are marked and not added up', async () => {
    const ids = {
      available: await commerce.product({ stock: 2, priceCents: 100 }),
      short: await commerce.product({ stock: 1 }),
      sold_out: await commerce.product({ stock: 0 }),
      withdrawn: await commerce.product({ stock: 5 }),
    };
    for (const id of Object.values(ids)) await put(id, 2);
    await shop.deps.models.Product.update({ active: false }, { where: { id: ids.withdrawn } });
    const { body } = await buyer.client.get('/api/cart');
    const marks = Object.fromEntries(
      body.items.map((item: { product_id: number; availability: string }) => [item.availability, item.product_id]),
    );
    expect(marks).toEqual(ids);
    expect(body.total_cents).toBe(200);
  });

  test('it shows the price of now, not the price of when the product was put in', async () => {
    const productId = await commerce.product({ priceCents: 100 });
    await put(productId, 1);
    await shop.deps.models.Product.update({ price_cents: 120 }, { where: { id: productId } });
    expect((await buyer.client.get('/api/cart')).body.total_cents).toBe(120);
  });

  test('several currencies have no total', async () => {
    await put(await commerce.product({ currency: 'EUR' }), 1);
    const { body } = await put(await commerce.product({ currency: 'USD' }), 1);
    expect(body).toMatchObject({ total_cents: null, currency: null });
  });

  test('a quantity is a whole number from 1 to 99', async () => {
    const productId = await commerce.product();
    for (const quantity of [0, 100, -1, 1.5, '2', null, undefined]) {
      expect((await put(productId, quantity)).status).toBe(400);
    }
    expect((await put(productId, 99)).status).toBe(200);
  });

  test('products that are not sold cannot be put in', async () => {
    expect((await put(999_999, 1)).status).toBe(404);
    expect((await put(await commerce.product({ active: false }), 1)).status).toBe(404);
  });

  test('removing is the same the second time', async () => {
    const [a, b] = [await commerce.product(), await commerce.product()];
    await put(a, 1);
    await put(b, 1);
    for (const _ of [1, 2]) expect((await buyer.client.delete(`/api/cart/items/${a}`)).status).toBe(204);
    expect((await buyer.client.get('/api/cart')).body.items).toHaveLength(1);
    for (const _ of [1, 2]) expect((await buyer.client.delete('/api/cart')).status).toBe(204);
    expect((await buyer.client.get('/api/cart')).body.items).toEqual([]);
  });

  test('the same product put in ten times at once is one line', async () => {
    const productId = await commerce.product();
    const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => put(productId, i + 1)));
    expect(answers.map((answer) => answer.status)).toEqual(Array(10).fill(200));
    expect((await buyer.client.get('/api/cart')).body.items).toHaveLength(1);
  });

  test('a full cart takes no further product', async () => {
    const { CartItem, Cart, Product } = shop.deps.models;
    const [first] = await Promise.all([commerce.product()]);
    const template = await Product.findByPk(first, { rejectOnEmpty: true });
    const now = shop.clock.now();
    const rows = Array.from({ length: mostCartLines }, (_, i) => ({
      ...template.get({ plain: true }),
      id: undefined,
      sku: `FULL-${i}`,
    }));
    await Product.bulkCreate(rows as never);
    const made = await Product.findAll({ where: { sku: rows.map((row) => row.sku) } });
    await Cart.create({ account_id: buyer.id, updated_at: now });
    await CartItem.bulkCreate(
      made.map((product) => ({ account_id: buyer.id, product_id: product.id, quantity: 1, added_at: now })),
    );
    expect((await put(first, 1)).status).toBe(409);
    expect((await put(made[0]!.id, 5)).status).toBe(200);
  });

  test('showing a cart takes three statements, whatever is in it', async () => {
    const counts: number[] = [];
    for (const _ of [1, 2, 3]) {
      await put(await commerce.product(), 1);
      const { statements } = await countStatements(shop.deps.sequelize, () => buyer.client.get('/api/cart'));
      counts.push(statements.length);
    }
    expect(new Set(counts)).toEqual(new Set([3]));
  });

  test('nobody sees or changes a cart without an account', async () => {
    expect((await shop.client.get('/api/cart')).status).toBe(401);
    expect((await shop.client.delete('/api/cart')).status).toBe(401);
    expect((await shop.client.put('/api/cart/items/1', { quantity: 1 })).status).toBe(401);
  });
});
