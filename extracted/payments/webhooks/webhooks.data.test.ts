import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { select } from '@strangler/platform/mysql/statements.ts';
import { readPayment } from '../payment/ledger.ts';
import { startTestPayments, type TestPayments } from '../testing/payments.ts';
import { sign, webhookOf, webhookSecret } from '../testing/provider.ts';

const other = 'the-secret-before-this-one';
let now = new Date();
let payments: TestPayments;
beforeAll(async () => {
  const env = {
    PROVIDER_TIMEOUT: '300ms',
    CIRCUIT_VOLUME: '10000',
    PAYMENT_WEBHOOK_SECRET_OTHER: other,
    PARK_FOR: '1h',
    PARK_FIRST: '10s',
  };
  payments = await startTestPayments('webhooks', env, { clock: { now: () => now } });
});
afterAll(() => payments?.stop());

let lastOrder = 0;
/** A payment whose outcome is not known. */
async function pending(): Promise<{ id: number; reference: string; orderId: number }> {
  lastOrder += 1;
  await payments.charge(lastOrder, 'tok_lost');
  const payment = await readPayment(payments.pool, { orderId: lastOrder });
  if (payment?.status !== 'pending') throw new Error(`expected a pending payment, found ${payment?.status}`);
  return payment;
}
const statusOf = async (orderId: number) => (await readPayment(payments.pool, { orderId }))?.status;
const events = (type: string, key: string) =>
  select<{ payload: string }>(
    payments.pool,
    'SELECT payload FROM strangler_outbox WHERE topic = ? AND subject_key = ? ORDER BY id',
    [type, key],
  ).then((rows) => rows.map(({ payload }) => (JSON.parse(payload) as { data: Record<string, string> }).data));

describe('a webhook', () => {
  test('decides a payment that is pending, and again has no effect', async () => {
    const { reference, orderId } = await pending();
    const body = webhookOf({ reference });
    expect(await payments.webhook(body)).toMatchObject({ status: 200, body: { outcome: 'applied' } });
    expect((await payments.webhook(body)).body).toEqual({ outcome: 'duplicate' });
    expect((await payments.webhook(webhookOf({ reference }))).body).toEqual({ outcome: 'no_effect' });
    expect(await statusOf(orderId)).toBe('settled');
    expect(await events('shop.payment.settled', `${orderId}`)).toHaveLength(1);
  });

  test('sent many times at once is applied once', async () => {
    const { reference, orderId } = await pending();
    const body = webhookOf({ reference });
    const outcomes = await Promise.all(
      Array.from({ length: 6 }, () => payments.webhook(body).then((one) => one.body.outcome)),
    );
    expect(outcomes.sort()).toEqual(['applied', ...Array(5).fill('duplicate')]);
    expect(await events('shop.payment.settled', `${orderId}`)).toHaveLength(1);
  });

  test.each([
    ['settled, then refunded', [0, 1_000]],
    ['refunded, then settled', [1_000, 0]],
  ])('in any order comes to the same: %s', async (_name, refunded) => {
    const { reference, orderId } = await pending();
    for (const refunded_cents of refunded) await payments.webhook(webhookOf({ reference, refunded_cents }));
    expect(await statusOf(orderId)).toBe('refunded');
    expect(await events('shop.payment.refunded', `${orderId}`)).toHaveLength(1);
  });

  test('about a charge that is itself pending, or of a failed one, is followed as far as it says something', async () => {
    const { reference, orderId } = await pending();
    expect((await payments.webhook(webhookOf({ reference, status: 'pending' }))).body).toEqual({ outcome: 'ignored' });
    const failed = webhookOf({ reference, status: 'failed', failure_code: 'card_declined' });
    expect((await payments.webhook(failed)).body).toEqual({ outcome: 'applied' });
    expect(await events('shop.payment.failed', `${orderId}`)).toMatchObject([{ failure_code: 'card_declined' }]);
  });

  test('of another amount changes nothing and is kept for a person', async () => {
    const { reference, orderId } = await pending();
    const body = webhookOf({ reference, amount_cents: 5 });
    expect((await payments.webhook(body)).body).toEqual({ outcome: 'mismatch' });
    expect(await statusOf(orderId)).toBe('pending');
    expect(await events('payments.webhook.refused', body.id)).toMatchObject([
      { reason: expect.stringContaining('another amount') },
    ]);
  });

  test('that nobody can read is answered 400 each time and kept once', async () => {
    const body = '{"id":"evt_x","type":"charge.succeeded","data":{}}';
    for (let n = 0; n < 3; n += 1) expect((await payments.webhook(body)).status).toBe(400);
    const kept = await select<{ payload: string }>(
      payments.pool,
      "SELECT payload FROM strangler_outbox WHERE topic = 'payments.webhook.refused' AND subject_key LIKE 'bad\\_%'",
    );
    expect(kept.map(({ payload }) => JSON.parse(payload).data)).toMatchObject([
      { reason: expect.stringContaining('data.charge'), body },
    ]);
  });
});

describe('a signature', () => {
  const send = (header: string | undefined, text: string) =>
    payments.send('POST', '/api/payments/webhooks', {
      headers: {
        'content-type': 'application/json',
        ...(header === undefined ? {} : { 'provider-signature': header }),
      },
      body: text,
    });

  test('by either of two secrets is good', async () => {
    for (const secret of [webhookSecret, other]) {
      const { reference } = await pending();
      expect((await payments.webhook(webhookOf({ reference }), { secret })).body).toEqual({ outcome: 'applied' });
    }
  });

  test('by another secret, or too old, is refused with nothing done', async () => {
    const { reference, orderId } = await pending();
    const text = JSON.stringify(webhookOf({ reference }));
    expect((await send(sign(text, { secret: 'somebody-elses-secret', at: now }), text)).status).toBe(401);
    expect((await send(sign(text, { at: new Date(now.getTime() - 301_000) }), text)).status).toBe(401);
    expect((await send(undefined, text)).status).toBe(400);
    expect(await statusOf(orderId)).toBe('pending');
  });
});

describe('a webhook about a payment that is not here', () => {
  const insert = (reference: string) => {
    lastOrder += 1;
    return payments.pool.query(
      `INSERT INTO payments (order_id, account_id, reference, amount_cents, currency, status, check_at, created_at, updated_at)
       VALUES (?, 7, ?, 1000, 'EUR', 'pending', NULL, ?, ?)`,
      [lastOrder, reference, now, now],
    );
  };

  test('is taken, waits, and takes effect when the payment has come', async () => {
    const body = webhookOf({ reference: 'pay_late' });
    expect((await payments.webhook(body)).body).toEqual({ outcome: 'ignored' });
    now = new Date(now.getTime() + 11_000);
    expect(await payments.parked.runOnce()).toBe(1);
    await insert('pay_late');
    expect(await payments.parked.runOnce()).toBe(0);
    now = new Date(now.getTime() + 21_000);
    expect(await payments.parked.runOnce()).toBe(1);
    expect((await readPayment(payments.pool, { reference: 'pay_late' }))?.status).toBe('settled');
    expect(await select(payments.pool, 'SELECT effect FROM payment_events WHERE event_id = ?', [body.id])).toEqual([
      { effect: 'applied' },
    ]);
    expect(await select(payments.pool, 'SELECT 1 FROM parked_webhooks')).toEqual([]);
  });

  test('is given up after its time, with the reason', async () => {
    const body = webhookOf({ reference: 'pay_never' });
    await payments.webhook(body);
    now = new Date(now.getTime() + 3_601_000);
    await payments.parked.runOnce();
    expect(await select(payments.pool, 'SELECT 1 FROM parked_webhooks')).toEqual([]);
    expect(await events('payments.webhook.refused', body.id)).toMatchObject([
      { reason: expect.stringContaining('no payment pay_never') },
    ]);
  });
});
