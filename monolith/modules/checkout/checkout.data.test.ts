import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { type Commerce, commerceOf } from '../../testing/commerce.ts';
import { startTestProvider, type TestProvider } from '../../testing/payment-provider.ts';
import { startTestShop, type TestAccount, type TestShop } from '../../testing/shop.ts';
import type { createCartModule } from '../cart/index.ts';
import type { createInventoryModule } from '../inventory/index.ts';
import type { createOrdersModule } from '../orders/index.ts';
import type { createPaymentsModule } from '../payments/index.ts';
import { AnswerOnce, defaultAnswerOnceTimings, LeaseLost } from './answer-once.ts';
import { Checkout } from './checkout.ts';

/** What the checkout is made of in a running shop. */
function partsOf({ app: { modules } }: TestShop) {
  const { carts } = modules.cart as ReturnType<typeof createCartModule>;
  const { inventory } = modules.inventory as ReturnType<typeof createInventoryModule>;
  const { orders } = modules.orders as ReturnType<typeof createOrdersModule>;
  const { payments } = modules.payments as ReturnType<typeof createPaymentsModule>;
  return { carts, inventory, orders, payments };
}

let provider: TestProvider;
let shop: TestShop;
let commerce: Commerce;

beforeAll(async () => {
  provider = await startTestProvider();
  shop = await startTestShop('checkout', { PAYMENT_PROVIDER_URL: provider.url, PAYMENT_TIMEOUT: '1s' });
  commerce = await commerceOf(shop);
});
afterAll(async () => {
  await shop?.stop();
  await provider?.stop();
});
afterEach(() => provider.control({}));

/** A new customer with a cart of these products. */
async function buyerOf(quantities: Record<number, number>): Promise<TestAccount> {
  const buyer = await shop.account('customer');
  await commerce.fill(buyer, quantities);
  return buyer;
}
const ordersOf = (buyer: TestAccount) => shop.deps.models.Order.findAll({ where: { account_id: buyer.id } });

/** The orders are the shop's. */
const orders = { whileHere: <T>(write: () => Promise<T>) => write() };

describe('checkout', () => {
  test('sells the cart: stock taken, names and prices frozen, payment settled, cart empty', async () => {
    const [a, b] = [await commerce.product({ priceCents: 300 }), await commerce.product({ priceCents: 50 })];
    const buyer = await buyerOf({ [a]: 2, [b]: 3 });
    const answer = await commerce.checkOut(buyer, { expectedTotalCents: 750 });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe(`/api/orders/${answer.body.order.id}`);
    expect(answer.body.order).toMatchObject({ status: 'paid', total_cents: 750, customer: { id: buyer.id } });
    expect(answer.body.payment).toMatchObject({ status: 'settled', amount_cents: 750, currency: 'EUR' });
    await shop.deps.models.Product.update({ name: 'Renamed', price_cents: 9_999 }, { where: { id: a } });
    const order = await buyer.client.get(`/api/orders/${answer.body.order.id}`);
    expect(order.body.items[0]).toMatchObject({
      name: 'A thing',
      unit_price_cents: 300,
      quantity: 2,
      product: { name: 'Renamed', price_cents: 9_999 },
    });
    expect((await buyer.client.get('/api/cart')).body.items).toEqual([]);
    expect([await commerce.available(a), await commerce.available(b)]).toEqual([8, 7]);
    await commerce.balance(a);
  });

  test('reserves under an id of its own each time that the orders, on their way to another, have it run again', async () => {
    const ids: string[] = [];
    const checkout = new Checkout({
      ...{ ...partsOf(shop), sequelize: shop.deps.sequelize, answerOnce: undefined as never },
      inventory: {
        sell: async ({ id }: { id: string }) => {
          ids.push(id);
          if (ids.length < 3) throw new Error('the fence is closed');
          return 7;
        },
      } as never,
      orders: {
        place: undefined as never,
        whileHere: (write) =>
          write()
            .catch(() => write())
            .catch(() => write()),
      },
      payments: { placing: <T>(place: () => Promise<T>) => place(), charge: async () => 'settled' } as never,
    });
    const run = { accountId: 1, key: 'k', runner: 'r'.repeat(32), orderId: null };
    const request = { accountId: 1, cardToken: 'tok_visa', expectedTotalCents: undefined };
    expect(await checkout.run(run, request)).toEqual({ orderId: 7, payment: 'settled' });
    expect(new Set(ids).size).toBe(3);
  });

  test('50 buyers of the last 10: exactly 10 get one, and stock never falls below zero', async () => {
    const productId = await commerce.product({ stock: 10 });
    const buyers = await Promise.all(Array.from({ length: 50 }, () => buyerOf({ [productId]: 1 })));
    const answers = await Promise.all(buyers.map((buyer) => commerce.checkOut(buyer)));
    const count = (status: number) => answers.filter((answer) => answer.status === status).length;
    expect([count(201), count(409)]).toEqual([10, 40]);
    const refused = answers.find((answer) => answer.status === 409);
    expect(refused?.body.shortages).toEqual([{ product_id: productId, wanted: 1, available: 0 }]);
    expect(await commerce.available(productId)).toBe(0);
    await commerce.balance(productId);
    const sold = await shop.deps.models.OrderItem.count({ where: { product_id: productId } });
    expect(sold).toBe(10);
  });

  test('carts that share products in any order are all sold without a deadlock reaching anyone', async () => {
    const [a, b, c] = [
      await commerce.product({ stock: 50 }),
      await commerce.product({ stock: 50 }),
      await commerce.product({ stock: 50 }),
    ];
    const carts = [
      { [a]: 1, [b]: 1 },
      { [b]: 1, [c]: 1 },
      { [c]: 1, [a]: 1 },
    ];
    const buyers = await Promise.all(Array.from({ length: 15 }, (_, i) => buyerOf(carts[i % 3]!)));
    const answers = await Promise.all(buyers.map((buyer) => commerce.checkOut(buyer)));
    expect(answers.map((answer) => answer.status)).toEqual(Array(15).fill(201));
    for (const productId of [a, b, c]) {
      expect(await commerce.available(productId)).toBe(40);
      await commerce.balance(productId);
    }
  });

  test('one cart checked out ten times at once under ten keys is sold once', async () => {
    const productId = await commerce.product();
    const buyer = await buyerOf({ [productId]: 1 });
    const answers = await Promise.all(Array.from({ length: 10 }, () => commerce.checkOut(buyer)));
    expect(answers.map((answer) => answer.status).sort()).toEqual([201, ...Array(9).fill(409)]);
    expect(await ordersOf(buyer)).toHaveLength(1);
  });

  test('what is put into the cart during a checkout is either sold or still there', async () => {
    const [a, b] = [await commerce.product(), await commerce.product()];
    const buyer = await buyerOf({ [a]: 1 });
    const [answer] = await Promise.all([commerce.checkOut(buyer), commerce.fill(buyer, { [b]: 1 })]);
    const sold = answer.body.order.items.map((item: { product_id: number }) => item.product_id);
    const kept = (await buyer.client.get('/api/cart')).body.items.map(
      (item: { product_id: number }) => item.product_id,
    );
    expect([...sold, ...kept].sort()).toEqual([a, b].sort());
  });

  test.each([
    ['an empty cart', async () => ({}), undefined, 'Cart is empty'],
    ['a withdrawn product', withdrawn, undefined, 'Product withdrawn'],
    ['several currencies', twoCurrencies, undefined, 'Several currencies'],
    ['another total than the customer saw', async () => ({ [await commerce.product()]: 1 }), 1, 'Total has changed'],
    ['too little stock', async () => ({ [await commerce.product({ stock: 1 })]: 2 }), undefined, 'Not enough stock'],
  ])('%s is refused with 409, and nothing has changed', async (_, cart, expectedTotalCents, title) => {
    const quantities = await cart();
    const buyer = await buyerOf(quantities);
    if (title === 'Product withdrawn') {
      await shop.deps.models.Product.update({ active: false }, { where: { id: Object.keys(quantities) } });
    }
    const before = await buyer.client.get('/api/cart');
    const answer = await commerce.checkOut(buyer, expectedTotalCents === undefined ? {} : { expectedTotalCents });
    expect([answer.status, answer.body.title]).toEqual([409, title]);
    expect((await buyer.client.get('/api/cart')).body).toEqual(before.body);
    expect(await ordersOf(buyer)).toEqual([]);
  });

  test('what is not valid is refused before anything is done', async () => {
    const buyer = await shop.account('customer');
    const send = (json: unknown, headers: Record<string, string>) =>
      buyer.client.post('/api/checkout', json, { headers });
    const good = { card_token: 'tok_visa' };
    expect((await send(good, {})).status).toBe(400);
    expect((await send(good, { 'idempotency-key': '' })).status).toBe(400);
    expect((await send(good, { 'idempotency-key': 'x'.repeat(201) })).status).toBe(400);
    expect((await send(good, { 'idempotency-key': 'two words' })).status).toBe(400);
    expect((await send({}, { 'idempotency-key': 'k' })).status).toBe(400);
    expect((await send({ card_token: '4242424242424242' }, { 'idempotency-key': 'k' })).status).toBe(400);
    expect((await send({ ...good, more: 1 }, { 'idempotency-key': 'k' })).status).toBe(400);
    expect((await shop.client.post('/api/checkout', good, { headers: { 'idempotency-key': 'k' } })).status).toBe(401);
    // None of these has used up the key.
    expect(await shop.deps.models.IdempotencyKey.count({ where: { account_id: buyer.id } })).toBe(0);
  });
});

async function withdrawn() {
  return { [await commerce.product()]: 1 };
}

async function twoCurrencies() {
  return { [await commerce.product({ currency: 'EUR' })]: 1, [await commerce.product({ currency: 'USD' })]: 1 };
}

describe('an idempotency key', () => {
  test('fired ten times at once makes one order and one charge; late-comers are told to come again', async () => {
    const productId = await commerce.product();
    const buyer = await buyerOf({ [productId]: 1 });
    const key = randomUUID();
    const answers = await Promise.all(Array.from({ length: 10 }, () => commerce.checkOut(buyer, { key })));
    for (const answer of answers) {
      if (answer.status === 409) expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      else expect(answer.status).toBe(201);
    }
    const orders = await ordersOf(buyer);
    expect(orders).toHaveLength(1);
    expect(await commerce.available(productId)).toBe(9);
    const payment = await shop.deps.models.Payment.findOne({ where: { order_id: orders[0]!.id }, rejectOnEmpty: true });
    expect(await provider.charges(payment.reference)).toHaveLength(1);
  });

  test('gives the same answer again, to the byte', async () => {
    const buyer = await buyerOf({ [await commerce.product()]: 1 });
    const key = randomUUID();
    const first = await commerce.checkOut(buyer, { key });
    const second = await commerce.checkOut(buyer, { key });
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect([second.status, second.text]).toEqual([first.status, first.text]);
    for (const name of ['location', 'content-type']) expect(second.headers.get(name)).toBe(first.headers.get(name));
  });

  test('gives a refusal and a declined payment again too', async () => {
    const buyer = await shop.account('customer');
    const refused = randomUUID();
    const first = await commerce.checkOut(buyer, { key: refused });
    await commerce.fill(buyer, { [await commerce.product()]: 1 });
    const second = await commerce.checkOut(buyer, { key: refused });
    expect([second.status, second.text, second.headers.get('idempotency-replayed')]).toEqual([409, first.text, 'true']);

    const declined = randomUUID();
    const third = await commerce.checkOut(buyer, { key: declined, cardToken: 'tok_decline' });
    const fourth = await commerce.checkOut(buyer, { key: declined, cardToken: 'tok_decline' });
    expect([fourth.status, fourth.text]).toEqual([402, third.text]);
    expect(await ordersOf(buyer)).toHaveLength(1);
  });

  test('with another body is refused with 422', async () => {
    const buyer = await buyerOf({ [await commerce.product()]: 1 });
    const key = randomUUID();
    await commerce.checkOut(buyer, { key });
    expect((await commerce.checkOut(buyer, { key, cardToken: 'tok_other' })).status).toBe(422);
  });

  test("means nothing to another customer's", async () => {
    const productId = await commerce.product();
    const key = randomUUID();
    const buyers = [await buyerOf({ [productId]: 1 }), await buyerOf({ [productId]: 1 })];
    const answers = await Promise.all(buyers.map((buyer) => commerce.checkOut(buyer, { key })));
    expect(answers.map((answer) => answer.status)).toEqual([201, 201]);
  });

  test('is forgotten after 24 hours', async () => {
    const buyer = await buyerOf({ [await commerce.product()]: 1 });
    const key = randomUUID();
    await commerce.checkOut(buyer, { key });
    const row = { where: { account_id: buyer.id, idempotency_key: key } };
    await shop.deps.models.IdempotencyKey.update({ expires_at: new Date(Date.now() - 1) }, row);
    const again = await commerce.checkOut(buyer, { key });
    expect([again.status, again.body.title]).toEqual([409, 'Cart is empty']);
    expect(again.headers.get('idempotency-replayed')).toBeNull();
  });

  test('of a process that died before it had committed is run afresh when the lease ends', async () => {
    const buyer = await buyerOf({ [await commerce.product()]: 1 });
    const key = randomUUID();
    await dieUnder(buyer, key, null);
    const busy = await commerce.checkOut(buyer, { key });
    expect([busy.status, busy.body.title]).toEqual([409, 'Checkout still running']);
    await endLease(buyer, key);
    expect((await commerce.checkOut(buyer, { key })).status).toBe(201);
    expect(await ordersOf(buyer)).toHaveLength(1);
  });

  test('of a process that died after its commit goes on with that order: it is charged, and not ordered again', async () => {
    const productId = await commerce.product();
    const buyer = await buyerOf({ [productId]: 1 });
    // An order whose charge never went out, as a crash between commit and charge leaves it.
    const lost = await commerce.checkOut(buyer, { cardToken: 'tok_lost' });
    expect(lost.body.payment.status).toBe('pending');
    const key = randomUUID();
    await dieUnder(buyer, key, lost.body.order.id);
    await endLease(buyer, key);
    const answers = await Promise.all([1, 2, 3].map(() => commerce.checkOut(buyer, { key })));
    const done = answers.filter((answer) => answer.status === 201);
    expect(done.length).toBeGreaterThan(0);
    expect(done[0]?.body.order).toMatchObject({ id: lost.body.order.id, status: 'paid' });
    expect(await ordersOf(buyer)).toHaveLength(1);
    expect(await commerce.available(productId)).toBe(9);
  });

  test('names its order from the moment in which that is committed', async () => {
    const buyer = await buyerOf({ [await commerce.product()]: 1 });
    const key = randomUUID();
    const { body } = await commerce.checkOut(buyer, { key });
    const row = await shop.deps.models.IdempotencyKey.findOne({
      where: { account_id: buyer.id, idempotency_key: key },
      rejectOnEmpty: true,
    });
    expect(row.order_id).toBe(body.order.id);
  });

  test('whose run lost its lease commits nothing under it any more', async () => {
    const productId = await commerce.product();
    const buyer = await buyerOf({ [productId]: 1 });
    const answerOnce = new AnswerOnce({ ...shop.deps, orders, timings: { leaseMs: 0, keepMs: 60_000 } });
    const checkout = new Checkout({ ...shop.deps, ...partsOf(shop), answerOnce });
    const request = { accountId: buyer.id, cardToken: 'tok_visa', expectedTotalCents: undefined };
    const keyed = { accountId: buyer.id, key: randomUUID(), body: { card_token: 'tok_visa' } };
    const [slow, next] = [await answerOnce.claim(keyed), await answerOnce.claim(keyed)];
    if (slow.kind !== 'run' || next.kind !== 'run') throw new Error('expected that the second claim takes over');
    await expect(checkout.run(slow.run, request)).rejects.toThrow(LeaseLost);
    expect(await ordersOf(buyer)).toEqual([]);
    expect(await commerce.available(productId)).toBe(10);
    expect((await checkout.run(next.run, request)).payment).toBe('settled');
    const answer = { status: 201, type: 'application/json', location: null, body: '{}' };
    await expect(answerOnce.keep(slow.run, answer)).rejects.toThrow(LeaseLost);
    await answerOnce.keep(next.run, answer);
    expect(await answerOnce.claim(keyed)).toEqual({ kind: 'answered', answer });
  });

  test('whose lease has ended is taken over by one of ten requests at once', async () => {
    const { id: accountId } = await shop.account('customer');
    const answerOnce = new AnswerOnce({ ...shop.deps, orders, timings: { leaseMs: 60_000, keepMs: 60_000 } });
    const dying = new AnswerOnce({ ...shop.deps, orders, timings: { leaseMs: 0, keepMs: 60_000 } });
    const keyed = { accountId, key: randomUUID(), body: { card_token: 'tok_visa' } };
    await dying.claim(keyed);
    const claims = await Promise.all(Array.from({ length: 10 }, () => answerOnce.claim(keyed)));
    expect(claims.map(({ kind }) => kind).sort()).toEqual(['run', ...Array(9).fill('running')]);
  });

  test('is swept away when its time is over, and not before', async () => {
    const buyer = await buyerOf({ [await commerce.product()]: 1 });
    const [old, young] = [randomUUID(), randomUUID()];
    await commerce.checkOut(buyer, { key: old });
    await commerce.checkOut(buyer, { key: young });
    await shop.deps.models.IdempotencyKey.update(
      { expires_at: new Date(Date.now() - 1) },
      { where: { account_id: buyer.id, idempotency_key: old } },
    );
    await new AnswerOnce({ ...shop.deps, orders, timings: defaultAnswerOnceTimings }).forgetOld();
    const left = await shop.deps.models.IdempotencyKey.findAll({ where: { account_id: buyer.id } });
    expect(left.map((row) => row.idempotency_key)).toEqual([young]);
  });

  /** Leaves a key as a process leaves it that was killed while it ran. */
  async function dieUnder(buyer: TestAccount, key: string, orderId: number | null) {
    const helper = await shop.account('customer');
    await commerce.checkOut(helper, { key });
    await shop.deps.models.IdempotencyKey.update(
      {
        account_id: buyer.id,
        state: 'running',
        order_id: orderId,
        answer_status: null,
        answer_body: null,
        leased_until: new Date(Date.now() + 60_000),
      },
      { where: { account_id: helper.id, idempotency_key: key } },
    );
  }

  const endLease = (buyer: TestAccount, key: string) =>
    shop.deps.models.IdempotencyKey.update(
      { leased_until: new Date(Date.now() - 1) },
      { where: { account_id: buyer.id, idempotency_key: key } },
    );
});
