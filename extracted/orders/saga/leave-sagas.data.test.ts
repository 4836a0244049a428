import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { change, select } from '@strangler/platform/mysql/statements.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { Registry } from 'prom-client';
import { systemClock } from '../clock.ts';
import { customerId, startTestOrders, type TestOrders } from '../testing/orders.ts';
import { createLeaving } from './leave-sagas.ts';
import { newSale, type SagaState } from './saga-state.ts';
import { createSagaStore } from './saga-store.ts';

let flags: TestFlags;
let service: TestOrders;
let epoch = 1;

const productId = 1;
const timings = {
  ...{ holdMarginMs: 1_000, orderWithinMs: 10_000, chargeGraceMs: 3_000, payWithinMs: 60_000 },
  ...{ firstPauseMs: 20, longestPauseMs: 200 },
};
const move = async (to: 'monolith' | 'service' | 'held') => {
  epoch += 1;
  await flags.set(to, epoch);
};
const open = () => select<{ id: string }>(service.pool, 'SELECT id FROM sagas WHERE due_at IS NOT NULL');
const statusOf = async (orderId: number) =>
  (await select<{ status: string }>(service.pool, 'SELECT status FROM orders WHERE id = ?', [orderId]))[0]?.status;
const leftSagas = async () => {
  const { values } = await service.metrics.getSingleMetric('orders_sagas_left_total')!.get();
  return Object.fromEntries(values.map(({ labels, value }) => [labels.outcome, value]));
};

const line = { product_id: productId, name: 'A thing', unit_price_cents: 100, quantity: 1 };
const sale = { accountId: customerId, currency: 'EUR', totalCents: 100, cartVersion: 'v1', lines: [line] };
const insertDue = (id: string, state: SagaState) =>
  change(
    service.pool,
    `INSERT INTO sagas (id, account_id, idempotency_key, order_id, state, due_at, lease_token, created_at, updated_at)
     VALUES (?, ?, NULL, NULL, ?, NOW(3) - INTERVAL 1 SECOND, 1, NOW(3), NOW(3))`,
    [id, customerId, JSON.stringify(state)],
  );

beforeAll(async () => {
  flags = await startTestFlags('orders');
  await flags.set('service', epoch);
  service = await startTestOrders('ord_leave', {
    ...{ STRANGLER_FLAGS: flags.address, FENCE_WAIT: '200ms', CHECKOUT_WAIT: '2s' },
    ...{ SAGA_LEASE: '2s', INVENTORY_TIMEOUT: '1s', PAYMENTS_TIMEOUT: '1s', IDEMPOTENCY_LEASE: '4s' },
    ...{ CARD_KEPT: '1s', CHARGE_GRACE: '3s' },
  });
});
afterAll(async () => {
  await service?.stop();
  await flags?.stop();
});

test('an order whose payment is not decided is left with its stock sold, and looked after again when the orders come back', async () => {
  const before = service.neighbours.left(productId);
  const bought = await service.buy({ cardToken: 'tok_lost' });
  expect([bought.status, bought.body.payment.status]).toEqual([201, 'pending']);
  const orderId: number = bought.body.order.id;
  await move('monolith');
  await eventually(async () => expect(await open()).toEqual([]), { withinMs: 20_000 });
  await eventually(async () => expect(await leftSagas()).toEqual({ left: 1 }));
  expect(service.neighbours.left(productId)).toBe(before - 1);

  // Whose it is now would hear of that; this service has nothing to say of it.
  service.neighbours.decide(orderId, 'settled');
  await service.runner.runOnce();
  expect(await statusOf(orderId)).toBe('awaiting_payment');

  await move('service');
  await eventually(async () => expect(await statusOf(orderId)).toBe('paid'), { withinMs: 20_000 });
  await eventually(async () => expect(await open()).toEqual([]), { withinMs: 20_000 });
  expect(service.neighbours.left(productId)).toBe(before - 1);
});

test('a sale without an order gives back stock and cart', async () => {
  await move('monolith');
  const before = service.neighbours.left(productId);
  const state: SagaState = { ...newSale(sale, Date.now()), cart: 'asked' };
  service.shop.fill(customerId, [{}]);
  const carts = `${service.shop.url}/internal/carts/${customerId}`;
  const { version } = (await (await fetch(carts)).json()) as { version: string };
  const headers = { 'content-type': 'application/json' };
  await fetch(`${carts}/sales/sale-died`, { method: 'PUT', headers, body: JSON.stringify({ version }) });
  expect(service.shop.cartOf(customerId)).toEqual([]);
  // As a process leaves it that died after it had asked for the stock, and for the cart.
  await insertDue('sale-died', state);
  await eventually(async () => expect(await open()).toEqual([]), { withinMs: 20_000 });
  expect(service.neighbours.left(productId)).toBe(before);
  expect(service.shop.cartOf(customerId)).toMatchObject([{ product_id: productId, quantity: 1 }]);
  await eventually(async () => expect(await leftSagas()).toEqual({ left: 1, ended: 1 }));
  await move('service');
});

test('a saga that was taken up to be left when the orders came back is free at once, not when a lease ends', async () => {
  // Held, so that nobody of the service takes it up.
  await move('held');
  await insertDue('sale-between', newSale(sale, Date.now()));
  let looks = 0;
  const leaving = createLeaving({
    ...{ pool: service.pool, clock: systemClock, log: createLog({ name: 'test', level: 'silent' }), timings },
    ...{ metrics: new Registry(), leaseMs: 60_000, capacity: 5 },
    store: createSagaStore({
      ...{ pool: service.pool, fenced: (write) => write(), clock: systemClock, timings, leaseMs: 60_000 },
    }),
    perform: () => Promise.reject(new Error('nothing is done for orders that are one’s own')),
    isAway: () => {
      looks += 1;
      return looks === 1;
    },
  });
  expect(await leaving.runOnce()).toBe(1);
  const sql =
    "SELECT due_at <= NOW(3) + INTERVAL 1 SECOND AS free, lease_token AS token FROM sagas WHERE id = 'sale-between'";
  expect(await select(service.pool, sql)).toEqual([{ free: 1, token: 2 }]);
  await move('service');
  await eventually(async () => expect(await open()).toEqual([]), { withinMs: 20_000 });
});
