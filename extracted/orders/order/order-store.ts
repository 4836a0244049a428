import { change, type Executor, isDuplicate, select } from '@strangler/platform/mysql/statements.ts';
import type { Clock } from '../clock.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import {
  type OrderEvent,
  type OrderRow,
  type SoldLine,
  type StoredEvent,
  schemaVersionOf,
  upcast,
} from './order-event.ts';
import { decide, evolve, type OrderCommand, type OrderState, saysSame } from './order-state.ts';

/** Somebody has appended to the stream since it was read: nothing was written; read again and decide again. */
export class VersionConflict extends Error {
  constructor(orderId: number, expected: number) {
    super(`order ${orderId}: expected its stream to end at version ${expected}, found more; decide again`);
    this.name = 'VersionConflict';
  }
}

/** An order and where its stream ends. */
export type Loaded = { state: OrderState; streamVersion: number };

export type Changed =
  | { kind: 'changed'; state: OrderState }
  | { kind: 'nothing'; state: OrderState }
  | { kind: 'refused'; state: OrderState }
  | { kind: 'no such order' };

/** The orders as streams of events, with the shop's tables as their projection in the same transaction. */
export type OrderStore = {
  place(command: Extract<OrderCommand, { kind: 'place' }>, transaction: Executor): Promise<{ orderId: number }>;
  /** Locks the order, decides, appends, projects and tells. Throws VersionConflict where the lock was passed by. */
  change(
    orderId: number,
    command: Exclude<OrderCommand, { kind: 'place' }>,
    transaction: Executor,
    /** Said beside what is told of it. */
    marks?: Record<string, string>,
  ): Promise<Changed>;
  /** Locks the order; one that came through the pipe, or was changed by it, has an event of that afterwards. */
  load(orderId: number, transaction: Executor): Promise<Loaded | undefined>;
};

/** A snapshot is written whenever the stream's version is a multiple of this. */
export const snapshotEvery = 8;

export function createOrderStore({
  clock,
  events,
  every = snapshotEvery,
}: {
  clock: Clock;
  events: EventRecorder;
  every?: number;
}): OrderStore {
  const append = async (
    orderId: number,
    { state, streamVersion }: { state: OrderState | undefined; streamVersion: number },
    added: readonly OrderEvent[],
    transaction: Executor,
  ): Promise<Loaded> => {
    const version = await appendEvents(transaction, {
      orderId,
      expected: streamVersion,
      events: added,
      now: clock.now(),
    });
    const after = added.reduce<OrderState | undefined>(evolve, state);
    if (after === undefined) throw new Error(`order ${orderId}: nothing was appended`);
    if (Math.floor(version / every) > Math.floor(streamVersion / every))
      await keep(orderId, version, after, transaction);
    return { state: after, streamVersion: version };
  };

  const load: OrderStore['load'] = async (orderId, transaction) => {
    const row = await lockRow(transaction, orderId);
    if (row === undefined) return undefined;
    const known = await readStream(transaction, orderId);
    if (known.state === undefined)
      return append(orderId, known, [{ type: 'order_imported', data: { row } }], transaction);
    const { state, streamVersion } = known;
    if (saysSame(state, row)) return { state, streamVersion };
    return append(orderId, known, [{ type: 'order_resynced', data: { row } }], transaction);
  };

  return {
    load,
    async place(command, transaction) {
      const decision = decide(undefined, command, clock.now());
      if (decision.kind !== 'events') throw new Error('a new order was not placed');
      const state = decision.events.reduce<OrderState | undefined>(evolve, undefined);
      if (state === undefined) throw new Error('a new order has no events');
      const orderId = await insertRow(transaction, state);
      await append(orderId, { state: undefined, streamVersion: 0 }, decision.events, transaction);
      for (const event of decision.events) await events.order(orderId, event, state, transaction);
      return { orderId };
    },
    async change(orderId, command, transaction, marks) {
      const loaded = await load(orderId, transaction);
      if (loaded === undefined) return { kind: 'no such order' };
      const decision = decide(loaded.state, command, clock.now());
      if (decision.kind !== 'events') return { kind: decision.kind, state: loaded.state };
      const { state } = await append(orderId, loaded, decision.events, transaction);
      await updateRow(transaction, orderId, state);
      for (const event of decision.events) await events.order(orderId, event, state, transaction, marks);
      return { kind: 'changed', state };
    },
  };
}

/** Appends behind `expected`; returns the version of the last one. @throws VersionConflict */
export async function appendEvents(
  transaction: Executor,
  { orderId, expected, events, now }: { orderId: number; expected: number; events: readonly OrderEvent[]; now: Date },
): Promise<number> {
  let version = expected;
  for (const { type, data } of events) {
    version += 1;
    try {
      await change(
        transaction,
        'INSERT INTO order_events (order_id, version, type, schema_version, data, recorded_at) VALUES (?, ?, ?, ?, ?, ?)',
        [orderId, version, type, schemaVersionOf(type), JSON.stringify(data), now],
      );
    } catch (error) {
      throw isDuplicate(error) ? new VersionConflict(orderId, expected) : error;
    }
  }
  return version;
}

/** What the newest snapshot and the events behind it come to. */
export async function readStream(
  db: Executor,
  orderId: number,
): Promise<{ state: OrderState | undefined; streamVersion: number }> {
  const [snapshot] = await select<{ version: number; state: unknown }>(
    db,
    'SELECT version, state FROM order_snapshots WHERE order_id = ?',
    [orderId],
  );
  let state = snapshot && (fromJson(snapshot.state) as OrderState);
  let streamVersion = snapshot?.version ?? 0;
  const stored = await select<StoredEvent & { version: number }>(
    db,
    `SELECT version, type, schema_version AS schemaVersion, data FROM order_events
      WHERE order_id = ? AND version > ? ORDER BY version`,
    [orderId, streamVersion],
  );
  for (const { version, type, schemaVersion, data } of stored) {
    state = evolve(state, upcast({ type, schemaVersion, data: fromJson(data) }));
    streamVersion = version;
  }
  return { state, streamVersion };
}

/** MariaDB's JSON is text. */
export function fromJson(value: unknown): unknown {
  return typeof value === 'string' ? JSON.parse(value) : value;
}

async function keep(orderId: number, version: number, state: OrderState, transaction: Executor): Promise<void> {
  await change(
    transaction,
    `INSERT INTO order_snapshots (order_id, version, state) VALUES (?, ?, ?)
     ON DUPLICATE KEY UPDATE version = VALUES(version), state = VALUES(state)`,
    [orderId, version, JSON.stringify(state)],
  );
}

type Row = Omit<OrderRow, 'lines' | 'created_at' | 'updated_at'> & { created_at: Date; updated_at: Date };

async function lockRow(transaction: Executor, orderId: number): Promise<OrderRow | undefined> {
  const [row] = await select<Row>(
    transaction,
    `SELECT account_id, status, total_cents, currency, cancel_reason, version, created_at, updated_at
       FROM orders WHERE id = ? FOR UPDATE`,
    [orderId],
  );
  if (row === undefined) return undefined;
  const lines = await select<SoldLine>(
    transaction,
    'SELECT product_id, name, unit_price_cents, quantity FROM order_items WHERE order_id = ? ORDER BY product_id',
    [orderId],
  );
  return { ...row, created_at: row.created_at.toISOString(), updated_at: row.updated_at.toISOString(), lines };
}

async function insertRow(transaction: Executor, state: OrderState): Promise<number> {
  const { accountId, status, totalCents, currency, version, createdAt, updatedAt, lines } = state;
  const { id } = await change(
    transaction,
    `INSERT INTO orders (account_id, status, total_cents, currency, version, created_at, updated_at)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    [accountId, status, totalCents, currency, version, new Date(createdAt), new Date(updatedAt)],
  );
  await change(
    transaction,
    'INSERT INTO order_items (order_id, product_id, name, unit_price_cents, quantity) VALUES ?',
    [lines.map((line) => [id, line.product_id, line.name, line.unit_price_cents, line.quantity])],
  );
  return id;
}

async function updateRow(transaction: Executor, orderId: number, state: OrderState): Promise<void> {
  await change(
    transaction,
    'UPDATE orders SET status = ?, cancel_reason = ?, version = ?, updated_at = ? WHERE id = ?',
    [...[state.status, state.cancelReason, state.version, new Date(state.updatedAt), orderId]],
  );
}
