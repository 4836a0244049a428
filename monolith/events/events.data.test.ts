import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { signWebhook } from '../payment-provider/signature.ts';
import { type Commerce, commerceOf } from '../testing/commerce.ts';
import { startTestProvider, type TestProvider } from '../testing/payment-provider.ts';
import { eventFaults, type RecordedEvent, recordedEvents } from '../testing/recorded-events.ts';
import { startTestShop, type TestAccount, type TestShop } from '../testing/shop.ts';
import { inTransaction } from '../transaction.ts';

const secret = 'a-secret-for-the-tests-of-events';
const awkward = `It's "3\\" \\\\ ? :key $1 %s \u0001 漢 💶`;

let provider: TestProvider;
let shop: TestShop;
let commerce: Commerce;
let admin: TestAccount;

beforeAll(async () => {
  provider = await startTestProvider({ PAYMENT_WEBHOOK_SECRET: secret });
  shop = await startTestShop('events', {
    PAYMENT_PROVIDER_URL: provider.url,
    PAYMENT_WEBHOOK_SECRET: secret,
    PAYMENT_CHECK_AFTER: '100ms',
    PAYMENT_RECONCILE_EVERY: '50ms',
  });
  // What the provider decides later is decided by the tests' own webhooks.
  await provider.control({ late_ms: 60_000 });
  commerce = await commerceOf(shop);
  admin = await shop.account('admin');
});
afterAll(async () => {
  await shop?.stop();
  await provider?.stop();
});
afterEach(async () => {
  expect(await eventFaults(shop.deps.sequelize)).toEqual([]);
});

const ofOrder = (orderId: number) => recordedEvents(shop.deps.sequelize, { aggregate: 'order', key: orderId });
const ofAccount = (id: number) => recordedEvents(shop.deps.sequelize, { aggregate: 'account', key: id });
const all = () => recordedEvents(shop.deps.sequelize);
const placed = async () => (await all()).filter(({ type }) => type === 'order.placed');
const typesOf = (events: RecordedEvent[]) => events.map(({ type }) => type);

/** Two of a new product, bought by a new customer. */
async function buy(cardToken = 'tok_visa') {
  const productId = await commerce.product({ stock: 5, priceCents: 1_250 });
  const buyer = await shop.account('customer');
  await commerce.fill(buyer, { [productId]: 2 });
  const { status, body } = await commerce.checkOut(buyer, { cardToken });
  const { order_id: orderId, id: paymentId } = body.payment;
  return { buyer, productId, status, orderId: orderId as number, paymentId: paymentId as number };
}

describe('an order', () => {
  test('is told of from its placing to its shipping, under one key and in order', async () => {
    const { buyer, productId, orderId, paymentId } = await buy();
    await admin.client.post(`/api/orders/${orderId}/ship`);
    const events = await ofOrder(orderId);
    expect(events.map(({ topic }) => topic)).toEqual([
      'shop.order.placed',
      'shop.payment.settled',
      'shop.order.shipped',
    ]);
    const order = { order_id: orderId, account_id: buyer.id, total_cents: 2_500, currency: 'EUR' };
    const items = [{ product_id: productId, name: 'A thing', unit_price_cents: 1_250, quantity: 2 }];
    const payment = {
      payment_id: paymentId,
      order_id: orderId,
      account_id: buyer.id,
      amount_cents: 2_500,
      currency: 'EUR',
    };
    const occurred_at = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(events.map(({ data }) => data)).toEqual([
      { ...order, items, occurred_at },
      { ...payment, occurred_at },
      { ...order, occurred_at },
    ]);
    const shown = (await buyer.client.get(`/api/orders/${orderId}`)).body;
    expect(events.map(({ data }) => data.occurred_at)).toEqual([
      shown.created_at,
      shown.payment.updated_at,
      shown.updated_at,
    ]);
  });

  test('that is cancelled says by whom and gives its items, and its money goes back', async () => {
    const { buyer, productId, orderId } = await buy();
    await buyer.client.post(`/api/orders/${orderId}/cancel`);
    await eventually(async () => typesOf(await ofOrder(orderId)).includes('payment.refunded'));
    const events = await ofOrder(orderId);
    expect(typesOf(events)).toEqual(['order.placed', 'payment.settled', 'order.cancelled', 'payment.refunded']);
    expect(events[2]?.data).toMatchObject({ reason: 'customer', items: [{ product_id: productId, quantity: 2 }] });
  });

  test('that is not paid is told of as failed and then as cancelled', async () => {
    const { status, orderId } = await buy('tok_decline');
    expect(status).toBe(402);
    const events = await ofOrder(orderId);
    expect(typesOf(events)).toEqual(['order.placed', 'payment.failed', 'order.cancelled']);
    expect(events[1]?.data.failure_code).toBe('card_declined');
    expect(events[2]?.data.reason).toBe('payment_failed');
  });

  test('that is cancelled by ten requests at once is told of once', async () => {
    const { buyer, orderId } = await buy();
    await Promise.all(Array.from({ length: 10 }, () => buyer.client.post(`/api/orders/${orderId}/cancel`)));
    expect(typesOf(await ofOrder(orderId)).filter((type) => type === 'order.cancelled')).toHaveLength(1);
  });

  test('that cannot be placed for want of stock is not told of', async () => {
    const productId = await commerce.product({ stock: 1 });
    const buyer = await shop.account('customer');
    await commerce.fill(buyer, { [productId]: 2 });
    const before = await placed();
    expect((await commerce.checkOut(buyer)).status).toBe(409);
    expect(await placed()).toEqual(before);
  });

  test('that is placed while the last of a product is fought over is told of as often as it is placed', async () => {
    const productId = await commerce.product({ stock: 3 });
    const buyers = await Promise.all(Array.from({ length: 8 }, () => shop.account('customer')));
    for (const buyer of buyers) await commerce.fill(buyer, { [productId]: 1 });
    const answers = await Promise.all(buyers.map((buyer) => commerce.checkOut(buyer)));
    const sold = answers.flatMap(({ status, body }) => (status === 201 ? [body.order.id as number] : []));
    expect(sold).toHaveLength(3);
    const told = (await placed()).filter(({ data }) =>
      JSON.stringify(data.items).includes(`"product_id":${productId},`),
    );
    expect(told.map(({ key }) => Number(key)).sort()).toEqual(sold.sort());
  });

  test('checked out again under the same key is told of once', async () => {
    const productId = await commerce.product();
    const buyer = await shop.account('customer');
    await commerce.fill(buyer, { [productId]: 1 });
    const [first, again] = [
      await commerce.checkOut(buyer, { key: 'the-same' }),
      await commerce.checkOut(buyer, { key: 'the-same' }),
    ];
    expect(again.body.order.id).toBe(first.body.order.id);
    expect(typesOf(await ofOrder(first.body.order.id))).toEqual(['order.placed', 'payment.settled']);
  });

  test('is told of with names that are hard to write down, as they are', async () => {
    const productId = await commerce.product();
    await shop.deps.models.Product.update({ name: awkward }, { where: { id: productId } });
    const buyer = await shop.account('customer');
    await commerce.fill(buyer, { [productId]: 1 });
    const { body } = await commerce.checkOut(buyer);
    expect((await ofOrder(body.order.id))[0]?.data.items).toMatchObject([{ name: awkward }]);
  });

  test('has its customer told by a notification for each of its events, and of nothing else', async () => {
    const { buyer, orderId } = await buy();
    await buyer.client.post(`/api/orders/${orderId}/cancel`);
    await eventually(async () => typesOf(await ofOrder(orderId)).includes('payment.refunded'));
    const { items } = (await buyer.client.get('/api/notifications')).body;
    const kinds = items.map(({ kind }: { kind: string }) => kind.replace('_', '.')).reverse();
    expect(typesOf(await ofOrder(orderId))).toEqual(kinds);
  });
});

describe('a payment', () => {
  const webhook = async (id: string, orderId: number) => {
    const payment = await shop.deps.models.Payment.findOne({ where: { order_id: orderId }, rejectOnEmpty: true });
    const charge = {
      id: `ch_${id}`,
      status: 'succeeded',
      amount_cents: payment.amount_cents,
      currency: payment.currency,
      reference: payment.reference,
      failure_code: null,
      refunded_cents: 0,
    };
    const raw = JSON.stringify({ id, type: 'charge.succeeded', data: { charge } });
    const signature = signWebhook(secret, raw, shop.clock.now());
    const headers = { 'content-type': 'application/json', 'provider-signature': signature };
    const { body } = await shop.client.request('POST', '/api/payments/webhooks', { raw, headers });
    return body.outcome as string;
  };

  test('whose webhook is delivered twenty times at once, and again under another id, is told of once', async () => {
    const { orderId } = await buy('tok_late_webhook');
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => webhook('evt_twenty', orderId)));
    expect(outcomes.sort()).toEqual(['applied', ...Array(19).fill('duplicate')]);
    expect(await webhook('evt_other', orderId)).toBe('no_effect');
    expect(typesOf(await ofOrder(orderId))).toEqual(['order.placed', 'payment.settled']);
  });

  test('that settles while its order is cancelled is told of in the order in which it came about', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { buyer, orderId } = await buy('tok_late_webhook');
      await Promise.all([webhook(`evt_race_${round}`, orderId), buyer.client.post(`/api/orders/${orderId}/cancel`)]);
      const types = typesOf(await ofOrder(orderId));
      // Settled first, or known to be cancelled first, and then the money is only owed back.
      expect([
        ['order.placed', 'payment.settled', 'order.cancelled'],
        ['order.placed', 'order.cancelled'],
      ]).toContainEqual(types.filter((type) => type !== 'payment.refunded'));
    }
  });
});

describe('an account', () => {
  const register = (email: string, display_name = 'One') =>
    shop.client.post('/api/accounts', { email, password: 'a long enough password', display_name });

  test('is told of when it is registered, and not when its address is taken', async () => {
    const { body } = await register('told@shop.example');
    expect((await register('told@shop.example')).status).toBe(409);
    const events = await ofAccount(body.id);
    expect(typesOf(events)).toEqual(['account.registered']);
    expect(events[0]?.data).toEqual({
      account_id: body.id,
      email: 'told@shop.example',
      display_name: 'One',
      role: 'customer',
      occurred_at: body.created_at,
    });
  });

  test('registered by five requests at once is told of once', async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => register('race@shop.example')));
    const created = answers.filter(({ status }) => status === 201);
    expect(created).toHaveLength(1);
    const told = (await all()).filter(({ data }) => data.email === 'race@shop.example');
    expect(told.map(({ key }) => Number(key))).toEqual([created[0]?.body.id]);
  });

  test('is told of when its name changes, and not when it is given the name that it has', async () => {
    const { id, client } = await shop.account('customer', 'Before');
    for (const display_name of ['Before', 'After', 'After']) {
      expect((await client.patch('/api/accounts/me', { display_name })).body.display_name).toBe(display_name);
    }
    await client.patch('/api/accounts/me', {});
    const events = await ofAccount(id);
    expect(events.map(({ type, data }) => [type, data.display_name])).toEqual([['account.renamed', 'After']]);
  });

  test('renamed by many requests at once ends under the name that was told last', async () => {
    const { id, client } = await shop.account('customer', 'Name 0');
    const names = Array.from({ length: 10 }, (_, at) => `Name ${at + 1}`);
    await Promise.all(names.map((display_name) => client.patch('/api/accounts/me', { display_name })));
    const told = (await ofAccount(id)).map(({ data }) => data.display_name);
    expect(told.toSorted()).toEqual(names.toSorted());
    expect((await client.get('/api/accounts/me')).body.display_name).toBe(told.at(-1));
  });
});

describe('an event', () => {
  const renamed = (account_id: number) => ({
    account_id,
    display_name: 'N',
    occurred_at: shop.clock.now().toISOString(),
  });

  test('of a transaction that is rolled back is not told, and of one that is run again is told once', async () => {
    const { sequelize, events } = shop.deps;
    const [undone, repeated] = [await shop.account('customer'), await shop.account('customer')];
    const failing = inTransaction(sequelize, async (transaction) => {
      await events.record('account.renamed', renamed(undone.id), transaction);
      throw new Error('never mind');
    });
    await expect(failing).rejects.toThrow('never mind');
    let attempts = 0;
    await inTransaction(sequelize, async (transaction) => {
      attempts += 1;
      await events.record('account.renamed', renamed(repeated.id), transaction);
      if (attempts < 3) throw Object.assign(new Error('a deadlock'), { errno: 1213 });
    });
    expect([(await ofAccount(undone.id)).length, (await ofAccount(repeated.id)).length]).toEqual([0, 1]);
  });

  test('bears the trace and the id of the request that caused it', async () => {
    const { id, client } = await shop.account('customer', 'Before');
    const trace = 'a'.repeat(32);
    await client.patch(
      '/api/accounts/me',
      { display_name: 'Traced' },
      { headers: { traceparent: `00-${trace}-${'b'.repeat(16)}-01`, 'x-request-id': 'request-7' } },
    );
    const [event] = await ofAccount(id);
    expect(event?.traceparent).toContain(trace);
    expect(event?.requestId).toBe('request-7');
  });
});
