import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { change, select } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { systemClock } from '../clock.ts';
import { migrateUp } from '../database.ts';
import { createEventRecorder } from '../events/event-recorder.ts';
import type { StoredEvent } from './order-event.ts';
import type { OrderCommand } from './order-state.ts';
import { appendEvents, createOrderStore, readStream, VersionConflict } from './order-store.ts';

const lines = [
  { product_id: 1, name: 'A thing', unit_price_cents: 300, quantity: 2 },
  { product_id: 2, name: 'Another', unit_price_cents: 50, quantity: 1 },
];
const events = createEventRecorder({ epoch: () => 3 });
const store = createOrderStore({ clock: systemClock, events, every: 3 });
let database: FreshDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await freshDatabase('orders_store');
  await migrateUp(database.url, createLog({ name: 'test', level: 'silent' }));
  pool = createPool(database.url, { connectionLimit: 8 });
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

const place = () =>
  withTransaction(pool, 'READ COMMITTED', (tx) =>
    store.place({ kind: 'place', accountId: 7, currency: 'EUR', lines }, tx),
  );
const act = (orderId: number, command: Exclude<OrderCommand, { kind: 'place' }>) =>
  withTransaction(pool, 'READ COMMITTED', (tx) => store.change(orderId, command, tx));
const cancel = { kind: 'cancel', reason: 'customer', cause: 'customer', by: 7 } as const;
const types = async (orderId: number) =>
  (
    await select<{ type: string }>(pool, 'SELECT type FROM order_events WHERE order_id = ? ORDER BY version', [orderId])
  ).map(({ type }) => type);
const row = async (orderId: number) =>
  (await select<Record<string, unknown>>(pool, 'SELECT * FROM orders WHERE id = ?', [orderId]))[0];

/** As the pipe writes it. */
async function bring(fields: { id: number; status?: string; version?: number; updatedAt?: Date }): Promise<void> {
  const { id, status = 'paid', version = 2, updatedAt = new Date('2026-03-01T00:00:01.005Z') } = fields;
  const at = new Date('2026-03-01T00:00:00.000Z');
  await change(
    pool,
    "INSERT INTO orders (id, account_id, status, total_cents, currency, version, created_at, updated_at) VALUES (?, 9, ?, 300, 'EUR', ?, ?, ?)",
    [id, status, version, at, updatedAt],
  );
  await change(pool, "INSERT INTO order_items VALUES (?, 1, 'A thing', 300, 1)", [id]);
}

test('an order is written as events and, in the same transaction, as the shop’s rows and as what is told', async () => {
  const { orderId } = await place();
  await act(orderId, { kind: 'pay' });
  await act(orderId, { kind: 'ship' });
  expect(await act(orderId, cancel)).toMatchObject({ kind: 'refused', state: { status: 'shipped' } });
  expect(await types(orderId)).toEqual(['order_placed', 'order_paid', 'order_shipped']);
  expect(await row(orderId)).toMatchObject({ status: 'shipped', total_cents: 650, version: 3, cancel_reason: null });
  const { state, streamVersion } = await readStream(pool, orderId);
  expect([state?.status, streamVersion]).toEqual(['shipped', 3]);
  expect(await select(pool, 'SELECT version FROM order_snapshots WHERE order_id = ?', [orderId])).toEqual([
    { version: 3 },
  ]);
  const told = await select(pool, 'SELECT topic, epoch FROM strangler_outbox WHERE subject_key = ? ORDER BY id', [
    `${orderId}`,
  ]);
  expect(told).toEqual([
    { topic: 'shop.order.placed', epoch: 3 },
    { topic: 'shop.order.shipped', epoch: 3 },
  ]);
});

test('twenty changes at once are one after the other, and have one effect each', async () => {
  const { orderId } = await place();
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, n) => act(orderId, n % 2 ? { kind: 'pay' } : cancel)),
  );
  expect(outcomes.filter(({ kind }) => kind === 'changed').length).toBe((await types(orderId)).length - 1);
  expect((await types(orderId)).at(-1)).toBe('order_cancelled');
});

test('what is appended behind a version that is over is refused', async () => {
  const { orderId } = await place();
  const event = { type: 'order_paid', data: { at: '2026-03-01T00:00:00.000Z' } } as const;
  const append = (expected: number) => appendEvents(pool, { orderId, expected, events: [event], now: new Date() });
  await append(1);
  await expect(append(1)).rejects.toThrow(VersionConflict);
  await expect(append(0)).rejects.toThrow(/decide again/);
});

test('an order that came through the pipe begins with what it was, and what the pipe changes later is noticed', async () => {
  await bring({ id: 900_001 });
  await act(900_001, { kind: 'pay' });
  expect(await types(900_001)).toEqual(['order_imported']);
  await act(900_001, cancel);
  // The slice goes back, and somebody there ships what is here cancelled.
  await change(
    pool,
    "UPDATE orders SET status = 'shipped', cancel_reason = NULL, version = 9, updated_at = NOW(3) WHERE id = 900001",
  );
  expect(await act(900_001, cancel)).toMatchObject({ kind: 'refused', state: { status: 'shipped', version: 9 } });
  expect(await types(900_001)).toEqual(['order_imported', 'order_cancelled', 'order_resynced']);
  expect(await act(900_001, { kind: 'ship' })).toMatchObject({ kind: 'nothing' });
  expect(await types(900_001)).toHaveLength(3);
});

test('a stream whose first event is of version 1 goes on under today’s', async () => {
  const stored: StoredEvent[] = JSON.parse(
    readFileSync(new URL('./fixtures/order_placed.v1.json', import.meta.url), 'utf8'),
  );
  const at = new Date('2026-01-05T10:00:01.250Z');
  await change(
    pool,
    "INSERT INTO orders (id, account_id, status, total_cents, currency, version, created_at, updated_at) VALUES (800001, 7, 'paid', 9300, 'EUR', 2, '2026-01-05 10:00:00', ?)",
    [at],
  );
  for (const [n, { type, schemaVersion, data }] of stored.entries()) {
    await change(pool, 'INSERT INTO order_events VALUES (800001, ?, ?, ?, ?, ?)', [
      n + 1,
      type,
      schemaVersion,
      JSON.stringify(data),
      at,
    ]);
  }
  await act(800_001, { kind: 'ship' });
  expect(await types(800_001)).toEqual(['order_placed', 'order_paid', 'order_shipped']);
});
