import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { dryRunMediaType, parseDryRunAnswer } from '@strangler/platform/contracts/dry-run.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { readPayment } from './payment/ledger.ts';
import { type SendOptions, startTestPayments, type TestPayments } from './testing/payments.ts';
import { sign, webhookOf } from './testing/provider.ts';

let flags: TestFlags;
let payments: TestPayments;
let pool: Pool;
let epoch = 1;

beforeAll(async () => {
  flags = await startTestFlags('payments');
  await flags.set('service', epoch);
  const env = { STRANGLER_FLAGS: flags.address, FENCE_WAIT: '15s', PROVIDER_TIMEOUT: '400ms', FIRST_CHECK: '100ms' };
  payments = await startTestPayments('owner', env);
  pool = createPool(payments.database.url, { connectionLimit: 2 });
  await pool.query(
    'CREATE TABLE strangler_fence (slice VARCHAR(64) PRIMARY KEY, state VARCHAR(8), pass VARBINARY(64), epoch INT UNSIGNED, owner VARCHAR(16)) ENGINE=InnoDB',
  );
  await pool.query("INSERT INTO strangler_fence VALUES ('payments', 'open', 'the-pass', 1, 'service')");
  for (const table of ['payments', 'payment_events']) {
    for (const event of ['INSERT', 'UPDATE', 'DELETE']) {
      await pool.query(`CREATE TRIGGER fence_${table}_${event} BEFORE ${event} ON ${table} FOR EACH ROW
        BEGIN
          IF NOT EXISTS (SELECT 1 FROM strangler_fence WHERE slice = 'payments'
              AND IF(CONVERT(@strangler_apply USING utf8mb4) <=> '1', state = 'closed' AND pass = CAST(@strangler_pass AS BINARY), state = 'open')
              LOCK IN SHARE MODE) THEN
            SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 45045, MESSAGE_TEXT = 'strangler fence: payments epoch 9, owner monolith: closed';
          END IF;
        END`);
    }
  }
});
afterAll(async () => {
  await pool?.end();
  await payments?.stop();
  await flags?.stop();
});

const fence = (state: 'open' | 'closed') =>
  pool.query("UPDATE strangler_fence SET state = ? WHERE slice = 'payments'", [state]);
const knows = (text: string) =>
  eventually(async () => expect((await payments.send('GET', '/health/ready')).text).toContain(text));
let lastOrder = 0;
const order = () => {
  lastOrder += 1;
  return lastOrder;
};

beforeEach(async () => {
  await fence('open');
  epoch += 1;
  await flags.set('service', epoch);
  await knows(`the service’s under epoch ${epoch}`);
});

describe('writes of the payments', () => {
  test('under an epoch that is over are refused with nothing done, on every route', async () => {
    const headers = { 'x-strangler-epoch': `${epoch - 1}` };
    for (const path of [
      '/api/payments',
      '/api/v2/payments',
      '/api/payments/1/refunds',
      '/api/v2/payments/1/refunds',
      '/api/payments/webhooks',
    ]) {
      const answer = await payments.send('POST', path, { token: payments.admin, key: 'stale', headers });
      const known = answer.headers.get('x-strangler-stale-epoch');
      expect({ path, status: answer.status, known }).toEqual({ path, status: 409, known: `${epoch}` });
    }
  });

  test('that meet a closed fence wait until it is open, and charge once', async () => {
    await fence('closed');
    const held = await payments.provider.held();
    const charging = payments.charge(order(), 'tok_good');
    await payments.send('GET', '/health/ready');
    // The provider is not asked for money that could not be written down.
    expect(await payments.provider.held()).toBe(held);
    await fence('open');
    expect((await charging).body).toMatchObject({ status: 'settled' });
    expect(await payments.provider.held()).toBe(held + 1);
  });

  test('are not made behind the owner: what is another’s is not reconciled', async () => {
    const id = order();
    await payments.charge(id, 'tok_timeout');
    await eventually(async () =>
      expect((await readPayment(pool, { orderId: id }))?.checkAt?.getTime()).toBeLessThan(Date.now()),
    );
    epoch += 1;
    await flags.set('monolith', epoch);
    await knows(`the monolith’s under epoch ${epoch}`);
    expect(await payments.reconciler.runOnce()).toBe(0);
    epoch += 1;
    await flags.set('service', epoch);
    await knows(`the service’s under epoch ${epoch}`);
    expect(await payments.reconciler.runOnce()).toBeGreaterThan(0);
    expect((await readPayment(pool, { orderId: id }))?.status).toBe('settled');
  });
});

describe('a dry run', () => {
  const everything = async () => {
    const all: Record<string, unknown> = {};
    for (const table of [
      'payments',
      'payment_events',
      'refunds',
      'payment_history',
      'parked_webhooks',
      'idempotency_keys',
      'strangler_outbox',
    ]) {
      const [rows] = await pool.query<RowDataPacket[]>('SELECT * FROM ?? ORDER BY 1', [table]);
      all[table] = rows.map((row) => JSON.stringify(row));
    }
    return all;
  };
  const dryRun = (method: string, path: string, { headers, ...options }: SendOptions = {}) =>
    payments.send(method, path, { ...options, headers: { 'x-strangler-dry-run': '1', ...headers } });
  const dryWebhook = async (body: object) => {
    const text = JSON.stringify(body);
    const headers = { 'content-type': 'application/json', 'provider-signature': sign(text) };
    const sent = await dryRun('POST', '/api/payments/webhooks', { headers, body: text });
    expect(sent.headers.get('content-type')).toBe(dryRunMediaType);
    const told = parseDryRunAnswer(sent.text);
    const answer = JSON.parse(Buffer.from(told?.answer.bodyBase64 ?? '', 'base64').toString());
    return { answer, types: told?.effects.events.map(({ type }) => type) };
  };

  test.each(['open', 'closed'] as const)('of a webhook tells its effects and leaves none (fence %s)', async (state) => {
    const id = order();
    await payments.charge(id, 'tok_lost');
    const reference = (await readPayment(pool, { orderId: id }))?.reference ?? '';
    await fence(state);
    const before = await everything();
    expect(await dryWebhook(webhookOf({ reference }))).toEqual({
      answer: { outcome: 'applied' },
      types: ['payment.settled'],
    });
    expect(await dryWebhook(webhookOf({ reference: 'pay_nobody' }))).toEqual({
      answer: { outcome: 'ignored' },
      types: [],
    });
    expect(await everything()).toEqual(before);
  });

  test('of a webhook that makes money owed does not pay it back', async () => {
    const id = order();
    const { body } = await payments.charge(id, 'tok_decline');
    const { reference } = (await readPayment(pool, { id: body.payment.id }))!;
    const before = await everything();
    expect((await dryWebhook(webhookOf({ reference }))).answer).toEqual({ outcome: 'applied' });
    await payments.reconciler.stop();
    expect(await everything()).toEqual(before);
    expect(await payments.provider.charges(reference)).toMatchObject([{ refunded_cents: 0 }]);
  });

  test('of a charge or a refund is refused: the provider is never called', async () => {
    const before = [await everything(), await payments.provider.held()];
    const token = payments.admin;
    for (const path of [
      '/api/payments',
      '/api/v2/payments',
      '/api/payments/1/refunds',
      '/api/v2/payments/1/refunds',
      '/api/payments/nothing',
    ]) {
      expect([path, (await dryRun('POST', path, { token, key: 'dry', body: {} })).status]).toEqual([path, 501]);
    }
    expect([await everything(), await payments.provider.held()]).toEqual(before);
  });
});
