import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { change } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import { createEventRecorder } from '../events/event-recorder.ts';
import { createLearning } from '../payment/learning.ts';
import { readPayment } from '../payment/ledger.ts';
import { startTestPayments, type TestPayments } from '../testing/payments.ts';
import { claimDue } from './claim.ts';

let now = new Date();
let payments: TestPayments;
let pool: Pool;
const timings = { firstCheckMs: 1_000, longestCheckMs: 8_000, leaseMs: 900, abandonAfterMs: 60_000 };

beforeAll(async () => {
  const env = {
    PROVIDER_TIMEOUT: '300ms',
    FIRST_CHECK: '1s',
    LONGEST_CHECK: '8s',
    ABANDON_AFTER: '1m',
    CIRCUIT_VOLUME: '10000',
  };
  payments = await startTestPayments('reconciler', env, { clock: { now: () => now } });
  pool = createPool(payments.database.url, { connectionLimit: 8 });
});
afterAll(async () => {
  await pool?.end();
  await payments?.stop();
});

const later = (ms: number) => {
  now = new Date(now.getTime() + ms);
};
/** Payments as another system left them: pending, and due. */
async function due(from: number, count: number): Promise<void> {
  const rows = Array.from({ length: count }, (_, n) => [
    from + n,
    7,
    `pay_due_${from + n}`,
    100,
    'EUR',
    'pending',
    now,
    now,
    now,
  ]);
  await pool.query(
    'INSERT INTO payments (order_id, account_id, reference, amount_cents, currency, status, check_at, created_at, updated_at) VALUES ?',
    [rows],
  );
}
const metric = async (name: string) => {
  const { text } = await payments.send('GET', '/metrics');
  return Number(new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, 'm').exec(text)?.[1]);
};

test('several instances share the work: nothing is leased twice', async () => {
  await due(1_000, 40);
  const rounds = await Promise.all(Array.from({ length: 6 }, () => claimDue(pool, now, 10, timings)));
  const leased = rounds.flat().map(({ paymentId }) => paymentId);
  expect(new Set(leased).size).toBe(leased.length);
  const rest = await claimDue(pool, now, 100, timings);
  expect(leased.length + rest.length).toBe(40);
  expect(await claimDue(pool, now, 100, timings)).toEqual([]);
});

test('waits grow from question to question, up to the longest', async () => {
  await change(pool, 'DELETE FROM payments');
  await due(2_000, 1);
  const waits: number[] = [];
  for (let n = 0; n < 6; n += 1) {
    await payments.reconciler.runOnce();
    const payment = await readPayment(pool, { orderId: 2_000 });
    const waitMs = (payment?.checkAt?.getTime() ?? 0) - now.getTime();
    waits.push(waitMs);
    later(waitMs);
  }
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
});

test('the age of the oldest unknown outcome is told', async () => {
  await change(pool, 'DELETE FROM payments');
  expect([await metric('payments_unknown'), await metric('payments_oldest_unknown_age_seconds')]).toEqual([0, 0]);
  await due(3_000, 2);
  later(90_000);
  expect([await metric('payments_unknown'), await metric('payments_oldest_unknown_age_seconds')]).toEqual([2, 90]);
});

describe('what is decided from the provider’s silence', () => {
  const learning = () =>
    createLearning({
      ...{ pool, timings, clock: { now: () => now }, log: createLog({ name: 'test', level: 'silent' }) },
      fenced: (write) => write(),
      events: createEventRecorder({ epoch: () => 1 }),
      onRefundOwed: () => {},
    });
  const silence = { news: 'failed', failureCode: 'never_charged' } as const;
  const statusOf = async (orderId: number) => (await readPayment(pool, { orderId }))?.status;

  test('is nothing under a lease that another has taken over', async () => {
    await change(pool, 'DELETE FROM payments');
    await due(4_000, 1);
    const [old] = await claimDue(pool, now, 1, timings);
    later(1_001);
    const [fresh] = await claimDue(pool, now, 1, timings);
    if (old === undefined || fresh === undefined) throw new Error('expected two leases of one payment');
    expect(await learning().learn(old.paymentId, silence, old)).toBeUndefined();
    expect(await statusOf(4_000)).toBe('pending');
    expect((await learning().learn(fresh.paymentId, silence, fresh))?.payment.status).toBe('failed');
  });

  test('is nothing once the charge is sent again', async () => {
    await payments.charge(4_100, 'tok_lost', { key: 'first' });
    later(3_600_000);
    const lease = (await claimDue(pool, now, 100, timings)).at(-1);
    await payments.charge(4_100, 'tok_lost', { key: 'second' });
    if (lease === undefined) throw new Error('expected a lease');
    expect(await learning().learn(lease.paymentId, silence, lease)).toBeUndefined();
    expect(await statusOf(4_100)).toBe('pending');
  });
});
