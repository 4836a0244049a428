import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { countStatements } from '@strangler/platform/mysql/sequelize.ts';
import { type Commerce, commerceOf } from '../../testing/commerce.ts';
import { startTestProvider, type TestProvider } from '../../testing/payment-provider.ts';
import { startTestShop, type TestAccount, type TestShop } from '../../testing/shop.ts';

let provider: TestProvider;
let shop: TestShop;
let commerce: Commerce;
let admin: TestAccount;

beforeAll(async () => {
  provider = await startTestProvider();
  shop = await startTestShop('orders', { PAYMENT_PROVIDER_URL: provider.url });
  commerce = await commerceOf(shop);
  admin = await shop.account('admin');
});
afterAll(async () => {
  await shop?.stop();
  await provider?.stop();
});

/** An order of `lines` different products by this buyer, or by a new one. */
async function order({
  lines = 1,
  buyer,
  cardToken,
}: {
  lines?: number;
  buyer?: TestAccount;
  cardToken?: string;
} = {}) {
  const customer = buyer ?? (await shop.account('customer'));
  const products = await Promise.all(Array.from({ length: lines }, () => commerce.product({ stock: 5 })));
  await commerce.fill(customer, Object.fromEntries(products.map((productId) => [productId, 2])));
  const { body } = await commerce.checkOut(customer, cardToken === undefined ? {} : { cardToken });
  return { customer, products, orderId: body.order.id as number };
}

const idsOf = (answer: { body: { items: { id: number }[] } }) => answer.body.items.map((item) => item.id);

describe('the list of orders', () => {
  test('shows a customer the own ones, newest first, page by page', async () => {
    const { customer, orderId: first } = await order();
    const ids = [first];
    for (const _ of [1, 2, 3]) ids.unshift((await order({ buyer: customer })).orderId);
    await order();
    const one = await customer.client.get('/api/orders?limit=3');
    const two = await customer.client.get(`/api/orders?limit=3&cursor=${one.body.next_cursor}`);
    expect([idsOf(one), idsOf(two)]).toEqual([ids.slice(0, 3), ids.slice(3)]);
    expect(two.body.next_cursor).toBeNull();
    expect(one.body.items[0]).toMatchObject({
      status: 'paid',
      payment: { status: 'settled' },
      customer: { id: customer.id },
    });
  });

  test('an order placed between two pages moves nothing from one to the other', async () => {
    const { customer, orderId: first } = await order();
    const second = (await order({ buyer: customer })).orderId;
    const one = await customer.client.get('/api/orders?limit=1');
    await order({ buyer: customer });
    const two = await customer.client.get(`/api/orders?limit=1&cursor=${one.body.next_cursor}`);
    expect([idsOf(one), idsOf(two)]).toEqual([[second], [first]]);
  });

  test('is filtered by status', async () => {
    const { customer, orderId: paid } = await order();
    const { orderId: cancelled } = await order({ buyer: customer, cardToken: 'tok_decline' });
    expect(idsOf(await customer.client.get('/api/orders?status=paid'))).toEqual([paid]);
    expect(idsOf(await customer.client.get('/api/orders?status=cancelled'))).toEqual([cancelled]);
    expect(idsOf(await customer.client.get('/api/orders?status=shipped'))).toEqual([]);
    expect((await customer.client.get('/api/orders?status=lost')).status).toBe(400);
  });

  test("shows an administrator everyone's, or those of one account", async () => {
    const [a, b] = [await order(), await order()];
    const all = idsOf(await admin.client.get('/api/orders?limit=100'));
    expect(all).toEqual(expect.arrayContaining([a.orderId, b.orderId]));
    expect(idsOf(await admin.client.get(`/api/orders?account_id=${a.customer.id}`))).toEqual([a.orderId]);
    expect((await b.customer.client.get(`/api/orders?account_id=${a.customer.id}`)).status).toBe(403);
  });

  test('a cursor of another list is refused', async () => {
    const { customer } = await order();
    await order({ buyer: customer });
    const { body } = await customer.client.get('/api/orders?limit=1');
    expect((await customer.client.get(`/api/orders?status=paid&cursor=${body.next_cursor}`)).status).toBe(400);
    const other = await shop.account('customer');
    expect((await other.client.get(`/api/orders?cursor=${body.next_cursor}`)).status).toBe(400);
  });

  test('takes as many statements for twenty orders as for one', async () => {
    const { customer } = await order({ lines: 2 });
    const statements = async () => {
      const counted = await countStatements(shop.deps.sequelize, () => customer.client.get('/api/orders?limit=50'));
      return counted.statements.length;
    };
    const forOne = await statements();
    for (let i = 0; i < 6; i += 1) await order({ buyer: customer, lines: 2 });
    expect(await statements()).toBe(forOne);
    expect(forOne).toBe(3);
  });
});

describe('one order', () => {
  test('shows its lines with the products and categories of today, its payment and its customer', async () => {
    const { customer, orderId, products } = await order();
    const { body } = await customer.client.get(`/api/orders/${orderId}`);
    expect(body).toMatchObject({
      id: orderId,
      status: 'paid',
      total_cents: 2_000,
      customer: { id: customer.id, email: customer.email },
      payment: { order_id: orderId, status: 'settled', amount_cents: 2_000 },
      items: [{ product_id: products[0], quantity: 2, product: { on_sale: true, category: { name: 'Things' } } }],
    });
    await shop.deps.models.Product.update({ archived_at: shop.clock.now() }, { where: { id: products[0]! } });
    const later = await customer.client.get(`/api/orders/${orderId}`);
    expect(later.body.items[0].product.on_sale).toBe(false);
  });

  test('takes as many statements for ten lines as for one', async () => {
    const counts: number[] = [];
    for (const lines of [1, 10]) {
      const { customer, orderId } = await order({ lines });
      const counted = await countStatements(shop.deps.sequelize, () => customer.client.get(`/api/orders/${orderId}`));
      counts.push(counted.statements.length);
    }
    expect(counts).toEqual([4, 4]);
  });

  test('is not there for anyone else', async () => {
    const { orderId } = await order();
    const other = await shop.account('customer');
    expect((await other.client.get(`/api/orders/${orderId}`)).status).toBe(404);
    expect((await other.client.post(`/api/orders/${orderId}/cancel`)).status).toBe(404);
    expect((await other.client.post(`/api/orders/${orderId}/ship`)).status).toBe(403);
    expect((await shop.client.get(`/api/orders/${orderId}`)).status).toBe(401);
    expect((await admin.client.get(`/api/orders/${orderId}`)).status).toBe(200);
    expect((await admin.client.get('/api/orders/999999')).status).toBe(404);
    expect((await admin.client.get('/api/orders/one')).status).toBe(400);
  });
});

describe('cancelling', () => {
  test('ten times at once gives the stock back once', async () => {
    const { customer, orderId, products } = await order();
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => customer.client.post(`/api/orders/${orderId}/cancel`)),
    );
    expect(answers.map((answer) => [answer.status, answer.body.status])).toEqual(Array(10).fill([200, 'cancelled']));
    expect(await commerce.available(products[0]!)).toBe(5);
    await commerce.balance(products[0]!);
  });

  test('a shipped order is refused', async () => {
    const { customer, orderId, products } = await order();
    expect((await admin.client.post(`/api/orders/${orderId}/ship`)).body.status).toBe('shipped');
    expect((await admin.client.post(`/api/orders/${orderId}/ship`)).status).toBe(200);
    const answer = await customer.client.post(`/api/orders/${orderId}/cancel`);
    expect([answer.status, answer.body.order_status]).toEqual([409, 'shipped']);
    expect(await commerce.available(products[0]!)).toBe(3);
  });

  test('and shipping at once ends in one of the two, with the stock to match', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { customer, orderId, products } = await order();
      const [cancelled, shipped] = await Promise.all([
        customer.client.post(`/api/orders/${orderId}/cancel`),
        admin.client.post(`/api/orders/${orderId}/ship`),
      ]);
      expect([cancelled.status, shipped.status].sort()).toEqual([200, 409]);
      expect(await commerce.available(products[0]!)).toBe(cancelled.status === 200 ? 5 : 3);
    }
  });

  test('by an administrator says so', async () => {
    const { orderId } = await order();
    expect((await admin.client.post(`/api/orders/${orderId}/cancel`)).body.cancel_reason).toBe('admin');
  });

  test('an order that is not paid can be cancelled but not shipped', async () => {
    const { customer, orderId } = await order({ cardToken: 'tok_late_webhook' });
    const refused = await admin.client.post(`/api/orders/${orderId}/ship`);
    expect([refused.status, refused.body.order_status]).toEqual([409, 'awaiting_payment']);
    const { body } = await customer.client.post(`/api/orders/${orderId}/cancel`);
    expect(body).toMatchObject({ status: 'cancelled', payment: { status: 'cancelling' } });
  });

  test('many orders of the same products and customers at once, some bought and some cancelled, keeps the stock right', async () => {
    const products = [await commerce.product({ stock: 40 }), await commerce.product({ stock: 40 })];
    const buyers = await Promise.all(Array.from({ length: 4 }, () => shop.account('customer')));
    const buyAndCancel = async (buyer: TestAccount, round: number) => {
      await commerce.fill(buyer, Object.fromEntries(products.map((productId) => [productId, 1 + (round % 2)])));
      const { status, body } = await commerce.checkOut(buyer);
      expect(status).toBe(201);
      if (round % 2 === 0) await buyer.client.post(`/api/orders/${body.order.id}/cancel`);
      return round % 2 === 0 ? 0 : 2;
    };
    const kept = await Promise.all(
      buyers.map(async (buyer) => {
        let ofBuyer = 0;
        for (let round = 0; round < 4; round += 1) {
          const inRound = await buyAndCancel(buyer, round);
          ofBuyer += inRound;
        }
        return ofBuyer;
      }),
    );
    const sold = kept.reduce((sum, ofBuyer) => sum + ofBuyer, 0);
    expect(sold).toBe(16);
    for (const productId of products) {
      expect(await commerce.available(productId)).toBe(40 - sold);
      await commerce.balance(productId);
    }
  });
});
