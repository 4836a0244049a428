import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import { onConnection } from '@strangler/platform/outbox/execute.ts';
import { once } from '@strangler/platform/outbox/inbox.ts';
import type { Pool } from 'mysql2/promise';
import type { Clock } from '../clock.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import type { PaymentAnswered } from '../events/payment-events.ts';
import type { Fenced } from '../fenced.ts';
import type { Learning } from '../payment/learning.ts';
import { type Payment, readPayment } from '../payment/ledger.ts';
import type { CancelledOrder } from './cancelled-order.ts';
import { rememberCancelled } from './cancelled-orders.ts';

/** The name that inbox rows bear, whatever the queue is called. */
export const inboxConsumer = 'payments.cancellations';

export type Withdraw = (cancelled: CancelledOrder) => Promise<'done' | 'done before'>;

/**
 * Takes note, once an event, that an order is cancelled: money that was or will be taken goes back, a charge that comes later is refused,
 * and whoever told of it is answered. The inbox's row, the payment and the answer are one transaction; the provider is asked after it.
 * Throws FencedWrite where the payments are another's.
 */
export function createWithdraw({
  pool,
  fenced,
  learning,
  events,
  clock,
  onRefundOwed,
}: {
  pool: Pool;
  fenced: Fenced;
  learning: Pick<Learning, 'apply'>;
  events: EventRecorder;
  clock: Clock;
  /** Called after the commit that made a refund due. */
  onRefundOwed(paymentId: number): void;
}): Withdraw {
  return async ({ eventId, orderId }) => {
    const handled = await fenced(() =>
      withTransaction(pool, 'READ COMMITTED', (transaction) =>
        once(onConnection(transaction), inboxConsumer, eventId, async () => {
          const now = clock.now();
          await rememberCancelled(transaction, orderId, now);
          const before = await readPayment(transaction, { orderId }, { lock: true });
          const learnt = before && (await learning.apply(before, { news: 'order_cancelled' }, transaction));
          await events.answer(answerOf(orderId, learnt?.payment, now), transaction);
          return learnt?.payment;
        }),
      ),
    );
    if (handled.outcome === 'handled before') return 'done before';
    if (handled.result?.status === 'refunding') onRefundOwed(handled.result.id);
    return 'done';
  };
}

function answerOf(order_id: number, payment: Payment | undefined, now: Date): PaymentAnswered {
  const occurred_at = now.toISOString();
  if (payment === undefined) return { order_id, payment: null, occurred_at };
  const { id, status, amountCents: amount_cents, currency, failureCode: failure_code } = payment;
  const created_at = payment.createdAt.toISOString();
  const updated_at = payment.updatedAt.toISOString();
  const told = { id, status, amount_cents, currency, failure_code, created_at, updated_at };
  return { order_id, payment: told, occurred_at };
}
