import { change, type Executor, isDuplicate, select } from '@strangler/platform/mysql/statements.ts';
import type { StockLine } from '../stock/take.ts';
import type { ReservationState } from './reservation-state.ts';

export type Reservation = {
  id: string;
  state: ReservationState;
  accountId: number | null;
  orderId: number | null;
  expiresAt: Date;
  /** By product; `adjustmentId` is of the adjustment that took it, null where the stock was not taken here. */
  lines: (StockLine & { adjustmentId: number | null })[];
};

type Id = number | string;
type Row = { id: string; state: ReservationState; account_id: Id | null; order_id: Id | null; expires_at: Date };
type LineRow = { product_id: Id; quantity: number; adjustment_id: Id | null };

/** The reservation that `by` names, locked until the end of the transaction; undefined where there is none. */
export async function lockReservation(
  by: { id: string } | { orderId: number },
  transaction: Executor,
): Promise<Reservation | undefined> {
  const [column, value] = 'id' in by ? ['id', by.id] : ['order_id', by.orderId];
  const [row] = await select<Row>(
    transaction,
    `SELECT id, state, account_id, order_id, expires_at FROM reservations WHERE ${column} = ? FOR UPDATE`,
    [value],
  );
  if (row === undefined) return undefined;
  const lines = await select<LineRow>(
    transaction,
    'SELECT product_id, quantity, adjustment_id FROM reservation_lines WHERE reservation_id = ? ORDER BY product_id',
    [row.id],
  );
  return {
    id: row.id,
    state: row.state,
    accountId: numberOf(row.account_id),
    orderId: numberOf(row.order_id),
    expiresAt: row.expires_at,
    lines: lines.map(({ product_id, quantity, adjustment_id }) => {
      return { productId: Number(product_id), quantity, adjustmentId: numberOf(adjustment_id) };
    }),
  };
}

/** Adds a reservation without its lines; false, with nothing done, where its id or its order has one already. */
export async function insertReservation(
  { id, state, accountId, orderId, expiresAt }: Omit<Reservation, 'lines'>,
  now: Date,
  transaction: Executor,
): Promise<boolean> {
  try {
    await change(
      transaction,
      `INSERT INTO reservations (id, state, account_id, order_id, expires_at, created_at, settled_at)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
      [id, state, accountId, orderId, expiresAt, now, state === 'held' ? null : now],
    );
    return true;
  } catch (error) {
    if (isDuplicate(error)) return false;
    throw error;
  }
}

export async function insertLines({ id, lines }: Reservation, transaction: Executor): Promise<void> {
  const rows = lines.map(({ productId, quantity, adjustmentId }) => [id, productId, quantity, adjustmentId]);
  const sql = 'INSERT INTO reservation_lines (reservation_id, product_id, quantity, adjustment_id) VALUES ?';
  await change(transaction, sql, [rows]);
}

export async function updateState(
  id: string,
  state: ReservationState,
  now: Date,
  transaction: Executor,
): Promise<void> {
  await change(transaction, 'UPDATE reservations SET state = ?, settled_at = ? WHERE id = ?', [state, now, id]);
}

/** Tells a reservation, and what took its stock, of its order; false, with nothing done, where that order has another one. */
export async function bindOrder({ id, lines }: Reservation, orderId: number, transaction: Executor): Promise<boolean> {
  try {
    await change(transaction, 'UPDATE reservations SET order_id = ? WHERE id = ?', [orderId, id]);
  } catch (error) {
    if (isDuplicate(error)) return false;
    throw error;
  }
  const adjustments = lines.flatMap(({ adjustmentId }) => (adjustmentId === null ? [] : [adjustmentId]));
  if (adjustments.length > 0) {
    await change(transaction, 'UPDATE stock_adjustments SET order_id = ? WHERE id IN (?)', [orderId, adjustments]);
  }
  return true;
}

/** Ids of reservations that are held though their time is over, the oldest first. */
export async function dueReservations(executor: Executor, now: Date, limit: number): Promise<string[]> {
  const sql = "SELECT id FROM reservations WHERE state = 'held' AND expires_at <= ? ORDER BY expires_at LIMIT ?";
  return (await select<{ id: string }>(executor, sql, [now, limit])).map(({ id }) => id);
}

function numberOf(id: Id | null): number | null {
  return id === null ? null : Number(id);
}
