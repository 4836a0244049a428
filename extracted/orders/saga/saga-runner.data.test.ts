import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { Registry } from 'prom-client';
import { systemClock as clock } from '../clock.ts';
import { migrateUp } from '../database.ts';
import { createEventRecorder } from '../events/event-recorder.ts';
import { createOrderStore } from '../order/order-store.ts';
import type { Perform, Performed } from './perform.ts';
import { createSagaRunner } from './saga-runner.ts';
import { type Command, newSale, type Timings } from './saga-state.ts';
import { createSagaStore } from './saga-store.ts';

const log = createLog({ name: 'test', level: 'silent' });
const timings: Timings = {
  ...{ holdMarginMs: 60_000, orderWithinMs: 30_000, chargeGraceMs: 60_000, payWithinMs: 3_600_000 },
  ...{ firstPauseMs: 10, longestPauseMs: 100 },
};
let database: FreshDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await freshDatabase('ord_runner');
  await migrateUp(database.url, log);
  pool = createPool(database.url, { connectionLimit: 8 });
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

test('one that was slow, and has lost its lease, does not place the order once more', async () => {
  const store = createSagaStore({ pool, fenced: (write) => write(), clock, timings, leaseMs: 30_000 });
  const orders = createOrderStore({ clock, events: createEventRecorder({ epoch: () => 1 }) });
  const lines = [{ product_id: 1, name: 'A thing', unit_price_cents: 100, quantity: 1 }];
  const answers: Partial<Record<Command, Performed>> = {
    reserve: { kind: 'reserved', reservation: 1, untilMs: Date.now() + 600_000 },
    'take cart': { kind: 'cart taken' },
    charge: { kind: 'payment', status: 'settled', failureCode: null },
    'confirm stock': { kind: 'stock sold', reservation: 1 },
    'pay order': { kind: 'order paid' },
    'place order': async (saga, transaction) => {
      const { orderId } = await orders.place({ kind: 'place', accountId: 7, currency: 'EUR', lines }, transaction);
      saga.orderId = orderId;
      return { kind: 'order placed' };
    },
  };
  let slow: (() => void) | undefined;
  let isSlow = true;
  const perform: Perform = async (command) => {
    if (command === 'place order' && isSlow) {
      isSlow = false;
      await new Promise<void>((resolve) => {
        slow = resolve;
      });
    }
    const answer = answers[command];
    if (answer === undefined) throw new Error(`nobody expected ${command}`);
    return answer;
  };
  const runner = createSagaRunner({
    ...{ pool, store, perform, clock, log, metrics: new Registry(), timings },
    ...{ leaseMs: 30_000, everyMs: 60_000, capacity: 4, cardKeptMs: 30_000 },
    ...{ killPoint: () => {}, isOwner: () => true },
  });
  const sale = { accountId: 7, currency: 'EUR', totalCents: 100, cartVersion: 'v1', lines };
  const state = newSale(sale, Date.now());
  await store.inTransaction((transaction) =>
    store.insert({ id: 'sale-1', accountId: 7, idempotencyKey: null, orderId: null, state }, transaction),
  );
  runner.begin({ sagaId: 'sale-1', leaseToken: 1 }, 'tok_visa');
  await eventually(() => expect(slow).toBeDefined());
  runner.soon('sale-1', 'tok_visa');
  await eventually(async () => expect((await store.read({ id: 'sale-1' }))?.state.order).toBe('paid'));
  slow?.();
  await runner.stop();
  expect(await select(pool, 'SELECT status FROM orders')).toEqual([{ status: 'awaiting_payment' }]);
  expect(await select(pool, "SELECT topic FROM strangler_outbox WHERE topic = 'shop.order.placed'")).toHaveLength(1);
});
