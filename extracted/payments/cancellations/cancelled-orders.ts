import { Problem } from '@strangler/platform/http/problem.ts';
import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';

/** Remembers that an order is cancelled. Before its payment is looked for: see `refuseCancelled`. */
export async function rememberCancelled(transaction: Executor, orderId: number, now: Date): Promise<void> {
  await change(
    transaction,
    'INSERT INTO cancelled_orders (order_id, heard_at) VALUES (?, ?) ON DUPLICATE KEY UPDATE order_id = VALUES(order_id)',
    [orderId, now],
  );
}

/**
 * Refuses, with a 409, a charge for an order that is cancelled. To be asked after the payment was inserted, in the same transaction:
 * whoever cancels writes first and looks for the payment then, so that one of the two sees what the other has written.
 */
export async function refuseCancelled(transaction: Executor, orderId: number): Promise<void> {
  const sql = 'SELECT order_id FROM cancelled_orders WHERE order_id = ? FOR UPDATE';
  const [found] = await select<{ order_id: number }>(transaction, sql, [orderId]);
  if (found === undefined) return;
  throw new Problem({
    status: 409,
    title: 'Order is cancelled',
    detail: `Order ${orderId} was cancelled before it was charged; no money was taken.`,
  });
}

/** Forgets orders of which it was heard longer ago than `olderThanMs`: nothing that charges them can still be on its way. */
export async function forgetCancelled(db: Executor, now: Date, olderThanMs: number, limit = 1_000): Promise<void> {
  const before = new Date(now.getTime() - olderThanMs);
  await change(db, 'DELETE FROM cancelled_orders WHERE heard_at < ? ORDER BY heard_at LIMIT ?', [before, limit]);
}
