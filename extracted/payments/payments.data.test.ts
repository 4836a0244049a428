import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { select } from '@strangler/platform/mysql/statements.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { readPayment } from './payment/ledger.ts';
import { chargeBody, startTestPayments, type TestPayments } from './testing/payments.ts';
import { webhookOf } from './testing/provider.ts';

let now = new Date();
let payments: TestPayments;
let lastOrder = 0;
const order = () => (lastOrder += 1);
const later = (ms: number) => {
  now = new Date(now.getTime() + ms);
};

beforeAll(async () => {
  const env = { PROVIDER_TIMEOUT: '400ms', CIRCUIT_VOLUME: '10000', FIRST_CHECK: '2s', LONGEST_CHECK: '1m' };
  payments = await startTestPayments('payments', env, { clock: { now: () => now } });
});
afterAll(() => payments?.stop());
afterEach(() => payments.provider.control({}));

const paymentOf = async (orderId: number) => {
  const payment = await readPayment(payments.pool, { orderId });
  if (payment === undefined) throw new Error(`order ${orderId} has no payment`);
  return payment;
};
const chargesOf = async (orderId: number) => payments.provider.charges((await paymentOf(orderId)).reference);
const refund = (id: number, body: object, key: string) =>
  payments.send('POST', `/api/payments/${id}/refunds`, { token: payments.admin, key, body });
const told = (orderId: number) =>
  select<{ topic: string; epoch: number }>(
    payments.pool,
    "SELECT topic FROM strangler_outbox WHERE subject = 'order' AND subject_key = ? ORDER BY id",
    [`${orderId}`],
  ).then((rows) => rows.map(({ topic }) => topic));

describe('a charge', () => {
  test('that the provider takes settles the payment and is told of', async () => {
    const id = order();
    const answer = await payments.charge(id, 'tok_good');
    expect(answer).toMatchObject({ status: 201, body: { order_id: id, status: 'settled', amount_cents: 1_000 } });
    expect(answer.headers.get('location')).toBe(`/api/payments/${answer.body.id}`);
    expect(await told(id)).toEqual(['shop.payment.settled']);
  });

  test('that the provider declines is answered 402 with the payment', async () => {
    const id = order();
    const answer = await payments.charge(id, 'tok_decline');
    expect(answer).toMatchObject({
      status: 402,
      body: { payment: { status: 'failed', failure_code: 'card_declined' } },
    });
    expect(await told(id)).toEqual(['shop.payment.failed']);
  });

  test.each(['tok_timeout', 'tok_broken'])(
    'with %s is pending until it is asked about, and taken once',
    async (card) => {
      const id = order();
      expect(await payments.charge(id, card)).toMatchObject({ status: 202, body: { status: 'pending' } });
      later(10_000);
      await payments.reconciler.runOnce();
      expect((await paymentOf(id)).status).toBe('settled');
      expect(await chargesOf(id)).toHaveLength(1);
      expect(await told(id)).toEqual(['shop.payment.settled']);
    },
  );

  test('that was lost on its way fails, but not before the provider has had its time', async () => {
    const id = order();
    expect((await payments.charge(id, 'tok_lost')).status).toBe(202);
    later(10_000);
    await payments.reconciler.runOnce();
    expect((await paymentOf(id)).status).toBe('pending');
    later(900_000);
    await payments.reconciler.runOnce();
    expect(await paymentOf(id)).toMatchObject({ status: 'failed', failureCode: 'never_charged', checkAt: null });
    expect(await told(id)).toEqual(['shop.payment.failed']);
  });

  test('of an order that is charged already is that charge, whatever the key', async () => {
    const id = order();
    const first = await payments.charge(id, 'tok_good', { key: 'one' });
    const second = await payments.charge(id, 'tok_good', { key: 'two' });
    expect([second.status, second.body]).toEqual([201, first.body]);
    expect(await chargesOf(id)).toHaveLength(1);
  });

  test('of an order whose first charge went unanswered asks before it charges again', async () => {
    const id = order();
    await payments.charge(id, 'tok_timeout', { key: 'lost-answer' });
    expect(await payments.charge(id, 'tok_good', { key: 'again' })).toMatchObject({ body: { status: 'settled' } });
    expect(await chargesOf(id)).toHaveLength(1);
  });

  test('of another amount than the order was paid is refused', async () => {
    const id = order();
    await payments.charge(id, 'tok_good', { key: 'amount-1' });
    expect((await payments.charge(id, 'tok_good', { key: 'amount-2', amountCents: 999 })).status).toBe(409);
  });

  test('is for services only', async () => {
    const body = chargeBody(order(), 'tok_good');
    const asked = (token?: string) =>
      payments.send('POST', '/api/payments', { ...(token ? { token } : {}), key: 'k', body });
    expect([(await asked()).status, (await asked(payments.customer)).status]).toEqual([401, 403]);
  });
});

describe('an order that is cancelled', () => {
  const cancelled = async (orderId: number, news: object) => {
    const { reference } = await paymentOf(orderId);
    await payments.webhook(webhookOf({ reference, ...news }));
  };

  test('after its payment failed and then settled all the same is paid back without being asked', async () => {
    const id = order();
    await payments.charge(id, 'tok_lost');
    later(1_000_000);
    await payments.reconciler.runOnce();
    // The lost request arrives at the provider after all.
    const { reference } = await paymentOf(id);
    const charge = { amount_cents: 1_000, currency: 'EUR', reference, card_token: 'tok_no_webhook' };
    const headers = { 'content-type': 'application/json', 'idempotency-key': reference };
    await fetch(`${payments.provider.url}/v1/charges`, { method: 'POST', headers, body: JSON.stringify(charge) });
    const [found] = await payments.provider.charges(reference);
    await cancelled(id, { id: found?.id ?? '' });
    await eventually(async () => expect(await paymentOf(id)).toMatchObject({ status: 'refunded', checkAt: null }));
    expect(await chargesOf(id)).toMatchObject([{ refunded_cents: 1_000 }]);
    expect(await told(id)).toEqual(['shop.payment.failed', 'shop.payment.refunded']);
  });
});

describe('a refund', () => {
  test('gives back parts until nothing is left, each once a key', async () => {
    const id = order();
    const { body } = await payments.charge(id, 'tok_good');
    expect(await refund(body.id, { amount_cents: 300 }, `a-${id}`)).toMatchObject({
      status: 201,
      body: { status: 'done', amount_cents: 300 },
    });
    const again = await refund(body.id, { amount_cents: 300 }, `a-${id}`);
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([201, 'true']);
    expect((await refund(body.id, { amount_cents: 701 }, `b-${id}`)).body).toMatchObject({
      status: 409,
      left_cents: 700,
    });
    expect(await told(id)).toEqual(['shop.payment.settled']);
    expect((await refund(body.id, {}, `c-${id}`)).body).toMatchObject({ amount_cents: 700 });
    expect(await chargesOf(id)).toMatchObject([{ refunded_cents: 1_000 }]);
    expect((await paymentOf(id)).status).toBe('refunded');
    expect(await told(id)).toEqual(['shop.payment.settled', 'shop.payment.refunded']);
    expect((await refund(body.id, { amount_cents: 1 }, `d-${id}`)).status).toBe(409);
  });

  test('asked for by many at once is never more than was taken', async () => {
    const id = order();
    const { body } = await payments.charge(id, 'tok_good');
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) => refund(body.id, { amount_cents: 300 }, `many-${id}-${n}`)),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 201, 409, 409, 409, 409, 409]);
    expect(await chargesOf(id)).toMatchObject([{ refunded_cents: 900 }]);
  });

  test('stays the same long after its key is forgotten', async () => {
    const id = order();
    const { body } = await payments.charge(id, 'tok_good');
    await refund(body.id, { amount_cents: 400 }, `kept-${id}`);
    later(2 * 86_400_000);
    expect((await refund(body.id, { amount_cents: 400 }, `kept-${id}`)).headers.get('idempotency-replayed')).toBeNull();
    expect((await refund(body.id, { amount_cents: 500 }, `kept-${id}`)).status).toBe(422);
    expect(await chargesOf(id)).toMatchObject([{ refunded_cents: 400 }]);
  });

  test('of what was not taken, or is not there, is refused', async () => {
    const id = order();
    const { body } = await payments.charge(id, 'tok_decline');
    expect((await refund(body.payment.id, {}, `e-${id}`)).status).toBe(409);
    expect((await refund(999_999, {}, `f-${id}`)).status).toBe(404);
  });

  test('that came from the shop half done is finished without a second one', async () => {
    const id = order();
    const { body } = await payments.charge(id, 'tok_good');
    const { reference, chargeId } = await paymentOf(id);
    // The shop had asked, and the answer was lost; then the row came here.
    const headers = { 'content-type': 'application/json', 'idempotency-key': `refund-${reference}` };
    await fetch(`${payments.provider.url}/v1/charges/${chargeId}/refunds`, { method: 'POST', headers, body: '{}' });
    await payments.pool.query("UPDATE payments SET status = 'refunding', check_at = ? WHERE id = ?", [now, body.id]);
    await payments.reconciler.runOnce();
    expect((await paymentOf(id)).status).toBe('refunded');
    expect(await chargesOf(id)).toMatchObject([{ refunded_cents: 1_000 }]);
  });
});
