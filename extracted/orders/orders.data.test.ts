import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { dryRunMediaType, parseDryRunAnswer } from '@strangler/platform/contracts/dry-run.ts';
import { change, select } from '@strangler/platform/mysql/statements.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { customerId, startTestOrders, type TestOrders } from './testing/orders.ts';

let flags: TestFlags;
let orders: TestOrders;
let epoch = 1;

beforeAll(async () => {
  flags = await startTestFlags('orders');
  await flags.set('service', epoch);
  orders = await startTestOrders('orders', {
    ...{ STRANGLER_FLAGS: flags.address, FENCE_WAIT: '300ms' },
    ...{ PAYMENTS_TIMEOUT: '1s', CARD_KEPT: '3s', CHARGE_GRACE: '3500ms', CHECKOUT_WAIT: '25s' },
  });
});
afterAll(async () => {
  await orders?.stop();
  await flags?.stop();
});

const row = async (orderId: number) =>
  (await select<Record<string, unknown>>(orders.pool, 'SELECT * FROM orders WHERE id = ?', [orderId]))[0];
const open = () => select(orders.pool, 'SELECT id, state FROM sagas WHERE due_at IS NOT NULL');

/** As the pipe writes an order of the shop. */
async function bring(id: number, status: 'awaiting_payment' | 'paid'): Promise<void> {
  const version = status === 'paid' ? 2 : 1;
  await change(
    orders.pool,
    "INSERT INTO orders (id, account_id, status, total_cents, currency, version, created_at, updated_at) VALUES (?, ?, ?, 300, 'EUR', ?, NOW(3), NOW(3))",
    [id, customerId, status, version],
  );
  await change(orders.pool, "INSERT INTO order_items VALUES (?, 5, 'A thing', 100, 3)", [id]);
}

describe('a payment', () => {
  test('that is decided late pays its order then, however long the customer was told that it is pending', async () => {
    const { status, body } = await orders.buy({ cardToken: 'tok_lost' });
    expect([status, body.order.status, body.payment.status]).toEqual([201, 'awaiting_payment', 'pending']);
    orders.neighbours.decide(body.order.id, 'settled');
    await eventually(async () => expect(await row(body.order.id)).toMatchObject({ status: 'paid', version: 2 }));
    await eventually(async () => expect(await open()).toEqual([]));
  });

  test('that nobody made is believed not to be made only after a while; the order is then cancelled, its stock back', async () => {
    const before = orders.neighbours.left(1);
    const { status, body } = await orders.buy({ cardToken: 'tok_unavailable' });
    expect(status).toBe(402);
    expect(body).toMatchObject({ payment: null, order: { status: 'cancelled', cancel_reason: 'payment_failed' } });
    expect(body.detail).toContain('payment_not_made');
    expect(orders.neighbours.left(1)).toBe(before);
    const orderId = body.order.id;
    const told = await select<{ topic: string }>(
      orders.pool,
      'SELECT topic FROM strangler_outbox WHERE subject_key = ? ORDER BY id',
      [`${orderId}`],
    );
    expect(told.map(({ topic }) => topic)).toEqual(['shop.order.placed', 'shop.order.cancelled']);
  });
});

describe('a saga that many drive at once', () => {
  test('orders once and charges once', async () => {
    const [before] = await select<{ n: number }>(orders.pool, 'SELECT COUNT(*) AS n FROM orders');
    const others = await orders.another();
    for (let round = 1; round <= 5; round += 1) {
      const answer = await orders.buy({ headers: { prefer: 'respond-async' } });
      const sagaId = answer.body.id;
      for (let n = 0; n < 12; n += 1) {
        (n % 2 ? orders : others).runner.soon(sagaId, 'tok_visa');
        await new Promise((resolve) => setImmediate(resolve));
      }
      await eventually(async () => expect(await open()).toEqual([]));
      const [after] = await select<{ n: number }>(orders.pool, 'SELECT COUNT(*) AS n FROM orders');
      expect(Number(after?.n)).toBe(Number(before?.n) + round);
    }
    const waiting = await select(orders.pool, "SELECT id FROM orders WHERE status = 'awaiting_payment'");
    expect(waiting).toEqual([]);
  });
});

describe('an order of the shop', () => {
  test('that waits for its payment is looked after from now on', async () => {
    orders.neighbours.pay(70_001, 300, 'pending');
    await bring(70_001, 'awaiting_payment');
    await eventually(async () => expect(await open()).toHaveLength(1));
    orders.neighbours.decide(70_001, 'settled');
    await eventually(async () => expect(await row(70_001)).toMatchObject({ status: 'paid', version: 2 }));
    await eventually(async () => expect(await open()).toEqual([]));
  });

  test('is cancelled with its stock, as one that was sold without a reservation', async () => {
    orders.neighbours.pay(60_002, 300, 'settled');
    await bring(60_002, 'paid');
    const before = orders.neighbours.left(5);
    const answers = await Promise.all(
      [1, 2, 3].map(() => orders.send('POST', '/api/orders/60002/cancel', { token: orders.customer })),
    );
    for (const { status, body } of answers) expect([status, body.status]).toEqual([200, 'cancelled']);
    await eventually(() => expect(orders.neighbours.left(5)).toBe(before + 3));
    await eventually(() => expect(orders.neighbours.paymentOf(60_002)?.status).toBe('refunded'));
    const types = await select<{ type: string }>(
      orders.pool,
      'SELECT type FROM order_events WHERE order_id = 60002 ORDER BY version',
    );
    expect(types.map(({ type }) => type)).toEqual(['order_imported', 'order_cancelled']);
  });
});

describe('money that turns up late', () => {
  test('for an order that was cancelled goes back', async () => {
    const { body } = await orders.buy({ cardToken: 'tok_lost' });
    const orderId = body.order.id;
    await orders.send('POST', `/api/orders/${orderId}/cancel`, { token: orders.customer });
    expect(orders.neighbours.paymentOf(orderId)?.status).toBe('cancelling');
    orders.neighbours.decide(orderId, 'refunded');
    await orders.desk.paymentNews(orderId);
    await eventually(async () => {
      const shown = await orders.send('GET', `/api/orders/${orderId}`, { token: orders.customer });
      expect(shown.body.payment.status).toBe('refunded');
    });
    await eventually(async () => expect(await open()).toEqual([]));
  });
});

describe('a dry run', () => {
  test('reads, and refuses what others would have to undo', async () => {
    const headers = { 'x-strangler-dry-run': '1' };
    const list = await orders.send('GET', '/api/orders', { token: orders.customer, headers });
    expect(list.headers.get('content-type')).toBe(dryRunMediaType);
    expect(parseDryRunAnswer(list.text)?.answer.status).toBe(200);
    const count = () => select(orders.pool, 'SELECT COUNT(*) AS n FROM sagas');
    const before = await count();
    expect((await orders.buy({ headers })).status).toBe(501);
    expect((await orders.send('POST', '/api/orders/1/cancel', { token: orders.customer, headers })).status).toBe(501);
    expect(await count()).toEqual(before);
  });
});

describe('orders that are another’s to write', () => {
  test('are refused here with nothing done, and their sagas rest until they are the service’s again', async () => {
    const pending = await orders.buy({ cardToken: 'tok_lost' });
    const orderId = pending.body.order.id;
    epoch += 1;
    await flags.set('monolith', epoch);
    await orders.pool.query(
      'CREATE TABLE strangler_fence (slice VARCHAR(64) PRIMARY KEY, state VARCHAR(8), pass VARBINARY(64), epoch INT UNSIGNED, owner VARCHAR(16)) ENGINE=InnoDB',
    );
    await orders.pool.query("INSERT INTO strangler_fence VALUES ('orders', 'closed', 'the-pass', 9, 'monolith')");
    for (const [table, event] of [
      ['orders', 'INSERT'],
      ['orders', 'UPDATE'],
      ['idempotency_keys', 'INSERT'],
    ]) {
      await orders.pool.query(`CREATE TRIGGER fence_${table}_${event} BEFORE ${event} ON ${table} FOR EACH ROW
        BEGIN
          IF EXISTS (SELECT 1 FROM strangler_fence WHERE slice = 'orders' AND state = 'closed' LOCK IN SHARE MODE) THEN
            SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 45045, MESSAGE_TEXT = 'strangler fence: orders epoch 9, owner monolith: closed';
          END IF;
        END`);
    }
    // The service follows the flags by itself.
    await eventually(async () => {
      const { headers } = await orders.buy({ headers: { 'x-strangler-epoch': '1' }, key: randomUUID() });
      expect(headers.get('x-strangler-stale-epoch')).toBe(`${epoch}`);
    });
    orders.neighbours.decide(orderId, 'settled');
    const refused = await orders.buy();
    expect([refused.status, refused.headers.has('retry-after')]).toEqual([503, true]);
    expect((await orders.send('POST', `/api/orders/${orderId}/cancel`, { token: orders.customer })).status).toBe(503);
    expect(await row(orderId)).toMatchObject({ status: 'awaiting_payment' });

    await orders.pool.query("UPDATE strangler_fence SET state = 'open'");
    epoch += 1;
    await flags.set('service', epoch);
    await eventually(async () => expect(await row(orderId)).toMatchObject({ status: 'paid' }));
  });
});
