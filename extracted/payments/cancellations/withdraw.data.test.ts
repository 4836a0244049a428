import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { pause } from '@strangler/platform/backoff.ts';
import { createLog } from '@strangler/platform/log.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { Ajv2020 } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { systemClock } from '../clock.ts';
import { createEventRecorder } from '../events/event-recorder.ts';
import { createLearning } from '../payment/learning.ts';
import { insertPayment, readPayment } from '../payment/ledger.ts';
import { startTestPayments, type TestPayments } from '../testing/payments.ts';
import { forgetCancelled, refuseCancelled, rememberCancelled } from './cancelled-orders.ts';
import { createWithdraw, type Withdraw } from './withdraw.ts';

let payments: TestPayments;
let withdraw: Withdraw;
const owed: number[] = [];
beforeAll(async () => {
  payments = await startTestPayments('withdraw');
  const parts = {
    ...{ pool: payments.pool, clock: systemClock, log: createLog({ name: 'test', level: 'silent' }) },
    ...{ fenced: <T>(write: () => Promise<T>) => write(), events: createEventRecorder({ epoch: () => 1 }) },
    timings: { firstCheckMs: 1_000, longestCheckMs: 1_000, leaseMs: 1_000, abandonAfterMs: 1_000 },
    onRefundOwed: (id: number) => void owed.push(id),
  };
  withdraw = createWithdraw({ ...parts, learning: createLearning(parts) });
});
afterAll(() => payments?.stop());

type Answered = { order_id: number; payment: { status: string } | null };
async function answers(orderId: number): Promise<Answered[]> {
  const rows = await select<{ payload: string }>(
    payments.pool,
    "SELECT payload FROM strangler_outbox WHERE topic = 'shop.cancellation.payment_answered' ORDER BY id",
  );
  return rows.map(({ payload }) => JSON.parse(payload).data).filter(({ order_id }) => order_id === orderId);
}

test('an order whose cancellation comes before its charge is never charged; the answer says that there is nothing', async () => {
  expect(await withdraw({ eventId: 'early', orderId: 1 })).toBe('done');
  expect((await payments.charge(1, 'tok_good')).status).toBe(409);
  expect(await payments.provider.held()).toBe(0);
  expect(await withdraw({ eventId: 'early', orderId: 1 })).toBe('done before');
  expect(await answers(1)).toEqual([expect.objectContaining({ payment: null })]);
  // What is forgotten is old.
  await forgetCancelled(payments.pool, new Date(), 60_000);
  expect((await payments.charge(1, 'tok_good', { key: 'later' })).status).toBe(409);
  await forgetCancelled(payments.pool, new Date(Date.now() + 61_000), 60_000);
  expect(await select(payments.pool, 'SELECT order_id FROM cancelled_orders')).toEqual([]);
});

test('what was taken is owed back, once an event, and what nobody knows yet is to be found out', async () => {
  const settled = (await payments.charge(2, 'tok_good')).body.id;
  await payments.charge(3, 'tok_decline');
  await payments.charge(4, 'tok_late_decline');
  for (const orderId of [2, 3, 4]) {
    await Promise.all([1, 2, 3].map(() => withdraw({ eventId: `e-${orderId}`, orderId })));
    await withdraw({ eventId: `another-${orderId}`, orderId });
  }
  expect(owed.filter((id) => id === settled).length).toBeGreaterThan(0);
  const statuses = await select(
    payments.pool,
    'SELECT status FROM payments WHERE order_id IN (2, 3, 4) ORDER BY order_id',
  );
  expect(statuses).toEqual([{ status: 'refunding' }, { status: 'failed' }, { status: 'cancelling' }]);
  for (const [orderId, status] of [
    [2, 'refunding'],
    [3, 'failed'],
    [4, 'cancelling'],
  ] as const) {
    const said = await answers(orderId);
    expect(said.map(({ payment }) => payment?.status)).toEqual([status, status]);
  }
  const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true });
  ajvFormats.default(ajv);
  const file = new URL('../events/schemas/cancellation.payment_answered.v1.json', import.meta.url);
  const validate = ajv.compile({ ...JSON.parse(readFileSync(file, 'utf8')), additionalProperties: false });
  for (const one of [...(await answers(1)), ...(await answers(2)), ...(await answers(3))]) {
    validate(one);
    expect(validate.errors).toBeNull();
  }
});

test('a charge that meets a cancellation which is not committed yet waits for it, and is refused then', async () => {
  const [cancelling, charging] = [await payments.pool.getConnection(), await payments.pool.getConnection()];
  try {
    for (const connection of [cancelling, charging]) {
      await connection.query('SET TRANSACTION ISOLATION LEVEL READ COMMITTED');
      await connection.beginTransaction();
    }
    const now = new Date();
    await rememberCancelled(cancelling, 50, now);
    expect(await readPayment(cancelling, { orderId: 50 }, { lock: true })).toBeUndefined();
    const fresh = { orderId: 50, accountId: 7, reference: 'pay_50', amountCents: 1_000, currency: 'EUR' };
    await insertPayment(charging, fresh, now, now);
    let isOver = false;
    const refused = refuseCancelled(charging, 50).finally(() => {
      isOver = true;
    });
    const outcome = expect(refused).rejects.toMatchObject({ status: 409 });
    await pause(200);
    expect(isOver).toBe(false);
    await cancelling.commit();
    await outcome;
  } finally {
    for (const connection of [cancelling, charging]) {
      await connection.rollback();
      connection.release();
    }
  }
});

test('a charge and a cancellation at the same time: no money stays, whoever comes first', async () => {
  const orders = Array.from({ length: 20 }, (_, at) => 100 + at);
  const outcomes = await Promise.all(
    orders.map(async (orderId, at) => {
      const charged = payments.charge(orderId, 'tok_good');
      await pause(at * 2);
      const [answer] = await Promise.all([charged, withdraw({ eventId: `race-${orderId}`, orderId })]);
      return answer.status;
    }),
  );
  const left = await select<{ orderId: number; status: string }>(
    payments.pool,
    'SELECT order_id AS orderId, status FROM payments WHERE order_id >= 100',
  );
  expect(left.filter(({ status }) => !['refunding', 'cancelling', 'refunded'].includes(status))).toEqual([]);
  // And whoever has no payment was refused.
  for (const [at, orderId] of orders.entries()) {
    const has = left.some((payment) => payment.orderId === orderId);
    expect([orderId, outcomes[at] === 409]).toEqual([orderId, !has]);
  }
});
