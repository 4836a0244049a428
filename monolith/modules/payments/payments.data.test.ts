import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { signWebhook } from '../../payment-provider/signature.ts';
import { type Commerce, commerceOf } from '../../testing/commerce.ts';
import { startTestProvider, type TestProvider } from '../../testing/payment-provider.ts';
import { startTestShop, type TestAccount, type TestShop } from '../../testing/shop.ts';
import type { PaymentStatus } from './payment-state.ts';

const secret = 'a-secret-for-the-tests-of-payments';

let provider: TestProvider;
let shop: TestShop;
let commerce: Commerce;

beforeAll(async () => {
  provider = await startTestProvider({ PAYMENT_WEBHOOK_SECRET: secret });
  shop = await startTestShop('payments', {
    PAYMENT_PROVIDER_URL: provider.url,
    PAYMENT_WEBHOOK_SECRET: secret,
    PAYMENT_TIMEOUT: '300ms',
    PAYMENT_CHECK_AFTER: '100ms',
    PAYMENT_RECONCILE_EVERY: '50ms',
    PAYMENT_ABANDON_AFTER: '1h',
  });
  commerce = await commerceOf(shop);
});
afterAll(async () => {
  await shop?.stop();
  await provider?.stop();
});
// No webhooks unless a test wants them: most are about what the shop finds out by itself.
const withWebhooks = () => provider.control({ webhook_url: `${shop.url}/api/payments/webhooks` });
afterEach(() => provider.control({ webhook_url: null }));

type Bought = {
  buyer: TestAccount;
  productId: number;
  orderId: number;
  paymentId: number;
  status: number;
  reference: string;
};

async function buy(cardToken: string): Promise<Bought> {
  const productId = await commerce.product({ stock: 10 });
  const buyer = await shop.account('customer');
  await commerce.fill(buyer, { [productId]: 4 });
  const { status, body } = await commerce.checkOut(buyer, { cardToken });
  const { order_id: orderId, id: paymentId } = body.payment;
  const { reference } = await shop.deps.models.Payment.findByPk(paymentId, { rejectOnEmpty: true });
  return { buyer, productId, orderId, paymentId, status, reference };
}

const paymentOf = async ({ buyer, paymentId }: Bought): Promise<PaymentStatus> =>
  (await buyer.client.get(`/api/payments/${paymentId}`)).body.status;
const orderOf = async ({ buyer, orderId }: Bought): Promise<string> =>
  (await buyer.client.get(`/api/orders/${orderId}`)).body.status;
const kindsOf = async ({ buyer }: Bought): Promise<string[]> =>
  (await buyer.client.get('/api/notifications?limit=100')).body.items
    .map((item: { kind: string }) => item.kind)
    .reverse();

const becomes = (bought: Bought, payment: PaymentStatus, order: string) =>
  eventually(async () => {
    expect([await paymentOf(bought), await orderOf(bought)]).toEqual([payment, order]);
  });

const webhook = async (body: string, signature?: string) =>
  shop.client.request('POST', '/api/payments/webhooks', {
    raw: body,
    headers: {
      'content-type': 'application/json',
      'provider-signature': signature ?? signWebhook(secret, body, shop.clock.now()),
    },
  });

const event = (id: string, bought: { reference: string }, charge: object = {}) =>
  JSON.stringify({
    id,
    type: 'charge.succeeded',
    created_at: new Date().toISOString(),
    data: {
      charge: {
        id: `ch_${id}`,
        status: 'succeeded',
        amount_cents: 4_000,
        currency: 'EUR',
        reference: bought.reference,
        failure_code: null,
        refunded_cents: 0,
        ...charge,
      },
    },
  });

describe('a charge', () => {
  test('that is declined cancels the order and gives the stock back', async () => {
    const bought = await buy('tok_decline');
    expect(bought.status).toBe(402);
    expect([await paymentOf(bought), await orderOf(bought)]).toEqual(['failed', 'cancelled']);
    expect(await commerce.available(bought.productId)).toBe(10);
    await commerce.balance(bought.productId);
    expect(await kindsOf(bought)).toEqual(['order_placed', 'payment_failed', 'order_cancelled']);
  });

  test('that is not answered leaves the payment pending, and the reconciler finds out that it was taken', async () => {
    const bought = await buy('tok_timeout');
    expect(bought.status).toBe(201);
    await becomes(bought, 'settled', 'paid');
    expect(await provider.charges(bought.reference)).toHaveLength(1);
    expect(await commerce.available(bought.productId)).toBe(6);
  });

  test('that is answered 500 after it was taken is found out too', async () => {
    const bought = await buy('tok_broken');
    expect(bought.status).toBe(201);
    await becomes(bought, 'settled', 'paid');
  });

  test('that never reached the provider stays pending until it is old enough to be given up', async () => {
    const bought = await buy('tok_lost');
    await eventually(async () => {
      const { checks } = await shop.deps.models.Payment.findByPk(bought.paymentId, { rejectOnEmpty: true });
      return checks >= 2;
    });
    expect([await paymentOf(bought), await orderOf(bought)]).toEqual(['pending', 'awaiting_payment']);
    expect(await commerce.available(bought.productId)).toBe(6);
    await shop.deps.models.Payment.update(
      { created_at: new Date(Date.now() - 2 * 3_600_000), check_at: new Date(0) },
      { where: { id: bought.paymentId } },
    );
    await becomes(bought, 'failed', 'cancelled');
    expect(await commerce.available(bought.productId)).toBe(10);
  });

  test('of a provider that is away stays pending, and nothing is guessed', async () => {
    await provider.control({ error_rate: 1, webhook_url: null });
    const bought = await buy('tok_visa');
    expect(bought.status).toBe(201);
    expect([await paymentOf(bought), await orderOf(bought)]).toEqual(['pending', 'awaiting_payment']);
  });

  test('that is decided later is settled by its webhook', async () => {
    await provider.control({ webhook_url: `${shop.url}/api/payments/webhooks`, late_ms: 200 });
    const settled = await buy('tok_late_webhook');
    const declined = await buy('tok_late_decline');
    expect([settled.status, declined.status]).toEqual([201, 201]);
    await becomes(settled, 'settled', 'paid');
    await becomes(declined, 'failed', 'cancelled');
    expect(await commerce.available(declined.productId)).toBe(10);
  });
});

describe('a webhook', () => {
  test('sent twice has one effect', async () => {
    await withWebhooks();
    const bought = await buy('tok_double_webhook');
    await eventually(async () => {
      const deliveries = (await provider.webhooks()).filter((delivery) => delivery.reference === bought.reference);
      expect(deliveries.map((delivery) => delivery.state)).toEqual(Array(4).fill('delivered'));
    });
    expect(await kindsOf(bought)).toEqual(['order_placed', 'payment_settled']);
    const events = await shop.deps.models.PaymentEvent.count({ where: { payment_id: bought.paymentId } });
    expect(events).toBe(1);
  });

  test('delivered twenty times at once has one effect', async () => {
    const bought = await buy('tok_lost');
    const body = event('evt_twenty', bought);
    const answers = await Promise.all(Array.from({ length: 20 }, () => webhook(body)));
    const outcomes = answers.map((answer) => answer.body.outcome).sort();
    expect(outcomes).toEqual(['applied', ...Array(19).fill('duplicate')]);
    expect(await kindsOf(bought)).toEqual(['order_placed', 'payment_settled']);
  });

  test('out of order comes to the same end', async () => {
    const bought = await buy('tok_lost');
    const refunded = await webhook(event('evt_late_1', bought, { refunded_cents: 4_000 }));
    const succeeded = await webhook(event('evt_late_2', bought));
    const created = await webhook(event('evt_late_3', bought, { status: 'pending' }));
    expect([refunded, succeeded, created].map((answer) => answer.body.outcome)).toEqual([
      'applied',
      'no_effect',
      'ignored',
    ]);
    expect([await paymentOf(bought), await orderOf(bought)]).toEqual(['refunded', 'cancelled']);
    expect(await commerce.available(bought.productId)).toBe(10);
  });

  test('that comes while the checkout itself writes the same outcome settles the payment once', async () => {
    await withWebhooks();
    const all = await Promise.all(Array.from({ length: 5 }, () => buy('tok_visa')));
    for (const bought of all) {
      await becomes(bought, 'settled', 'paid');
      expect(await kindsOf(bought)).toEqual(['order_placed', 'payment_settled']);
    }
  });

  test('about another amount than the payment settles nothing', async () => {
    const bought = await buy('tok_lost');
    expect((await webhook(event('evt_amount', bought, { amount_cents: 1 }))).body.outcome).toBe('mismatch');
    expect((await webhook(event('evt_currency', bought, { currency: 'USD' }))).body.outcome).toBe('mismatch');
    expect(await paymentOf(bought)).toBe('pending');
  });

  test('about no payment of the shop is taken and ignored', async () => {
    expect((await webhook(event('evt_stranger', { reference: 'pay_unknown' }))).body.outcome).toBe('ignored');
  });

  test('is refused unless its signature is genuine and of now', async () => {
    const bought = await buy('tok_lost');
    const body = event('evt_forged', bought);
    const now = shop.clock.now();
    expect((await webhook(body, 'nonsense')).status).toBe(400);
    expect((await webhook(body, signWebhook('another-secret-altogether', body, now))).status).toBe(401);
    expect((await webhook(`${body} `, signWebhook(secret, body, now))).status).toBe(401);
    expect((await webhook(body, signWebhook(secret, body, new Date(now.getTime() - 301_000)))).status).toBe(401);
    expect((await webhook(body, signWebhook(secret, body, new Date(now.getTime() + 302_000)))).status).toBe(401);
    expect(await paymentOf(bought)).toBe('pending');
  });

  test('is refused unless its body is what a webhook is, even when it is signed', async () => {
    expect((await webhook('not json')).status).toBe(400);
    expect((await webhook('{"id":"evt_x"}')).status).toBe(400);
    expect((await webhook(JSON.stringify({ id: 'x', filler: 'x'.repeat(70_000) }))).status).toBe(413);
  });
});

describe('money that is owed back', () => {
  test('is given back when the order is cancelled', async () => {
    const bought = await buy('tok_visa');
    const cancelled = await bought.buyer.client.post(`/api/orders/${bought.orderId}/cancel`);
    expect(cancelled.body).toMatchObject({ status: 'cancelled', cancel_reason: 'customer' });
    await becomes(bought, 'refunded', 'cancelled');
    expect(await provider.charges(bought.reference)).toMatchObject([{ refunded_cents: 4_000 }]);
    expect(await commerce.available(bought.productId)).toBe(10);
    expect(await kindsOf(bought)).toEqual(['order_placed', 'payment_settled', 'order_cancelled', 'payment_refunded']);
  });

  test('is given back when the charge turns out to be taken after the order was cancelled', async () => {
    await provider.control({ webhook_url: null, late_ms: 700 });
    const bought = await buy('tok_late_webhook');
    const cancelled = await bought.buyer.client.post(`/api/orders/${bought.orderId}/cancel`);
    expect(cancelled.body).toMatchObject({ status: 'cancelled', payment: { status: 'cancelling' } });
    expect(await commerce.available(bought.productId)).toBe(10);
    await becomes(bought, 'refunded', 'cancelled');
    expect(await provider.charges(bought.reference)).toMatchObject([{ refunded_cents: 4_000 }]);
    await commerce.balance(bought.productId);
    expect(await commerce.available(bought.productId)).toBe(10);
  });

  test('is given back when a charge settles that was given up as lost', async () => {
    const bought = await buy('tok_timeout');
    await shop.deps.models.Payment.update({ status: 'failed', check_at: null }, { where: { id: bought.paymentId } });
    const [charge] = await provider.charges(bought.reference);
    expect((await webhook(event('evt_too_late', bought, { ...charge }))).body.outcome).toBe('applied');
    await eventually(async () => {
      expect(await paymentOf(bought)).toBe('refunded');
    });
  });
});

describe('a payment', () => {
  test('is seen by its customer and by administrators, and is not there for anyone else', async () => {
    const bought = await buy('tok_visa');
    const path = `/api/payments/${bought.paymentId}`;
    const [admin, other] = [await shop.account('admin'), await shop.account('customer')];
    expect((await bought.buyer.client.get(path)).status).toBe(200);
    expect((await admin.client.get(path)).status).toBe(200);
    expect((await other.client.get(path)).status).toBe(404);
    expect((await shop.client.get(path)).status).toBe(401);
    expect((await bought.buyer.client.get('/api/payments/0')).status).toBe(400);
  });
});

test('while the provider is stopped orders are taken, and are settled when it is back', async () => {
  const ownProvider = await startTestProvider({ PAYMENT_WEBHOOK_SECRET: secret });
  const ownShop = await startTestShop('payments_away', {
    PAYMENT_PROVIDER_URL: ownProvider.url,
    PAYMENT_TIMEOUT: '300ms',
    PAYMENT_CHECK_AFTER: '50ms',
    PAYMENT_RECONCILE_EVERY: '50ms',
    PAYMENT_ABANDON_AFTER: '1ms',
  });
  let again: TestProvider | undefined;
  try {
    const goods = await commerceOf(ownShop);
    const productId = await goods.product();
    const buyer = await ownShop.account('customer');
    await goods.fill(buyer, { [productId]: 1 });
    await ownProvider.kill();
    const { status, body } = await goods.checkOut(buyer);
    expect([status, body.payment.status]).toEqual([201, 'pending']);
    const isAsked = async () => {
      const payment = await ownShop.deps.models.Payment.findByPk(body.payment.id, { rejectOnEmpty: true });
      return payment.checks >= 2;
    };
    await eventually(isAsked);
    // Asked twice without an answer, and older than the limit: not given up all the same.
    expect((await buyer.client.get(`/api/orders/${body.order.id}`)).body.status).toBe('awaiting_payment');
    again = await startTestProvider({ PORT: new URL(ownProvider.url).port });
    // The provider has never heard of the charge, and says so.
    await eventually(async () => {
      expect((await buyer.client.get(`/api/orders/${body.order.id}`)).body.status).toBe('cancelled');
    });
    expect(await goods.available(productId)).toBe(10);
  } finally {
    await ownShop.stop();
    await ownProvider.stop();
    await again?.stop();
  }
});
