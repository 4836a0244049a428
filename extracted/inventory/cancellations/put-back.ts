import { Problem } from '@strangler/platform/http/problem.ts';
import { onConnection } from '@strangler/platform/outbox/execute.ts';
import { once } from '@strangler/platform/outbox/inbox.ts';
import type { Clock } from '../clock.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import type { Fenced } from '../fenced.ts';
import type { ReservationService } from '../reservations/reservation-service.ts';
import type { Transactions } from '../transactions.ts';
import type { CancelledOrder } from './cancelled-order.ts';

/** The name that inbox rows bear, whatever the queue is called. */
export const inboxConsumer = 'inventory.cancellations';

/** An order's stock cannot be put back, now or ever: a person has to look. Nothing was done, and nothing is remembered. */
export class CannotPutBack extends Problem {
  constructor(orderId: number, found: string) {
    super({ status: 409, title: 'Stock cannot be put back', detail: `order ${orderId}: ${found}` });
    this.name = 'CannotPutBack';
  }
}

export type PutBack = (cancelled: CancelledOrder) => Promise<'done' | 'done before'>;

/**
 * Puts back what a cancelled order has of the stock, once an event, and says what came of it: the inbox's row, the stock and the answer
 * are one transaction. Throws CannotPutBack, and FencedWrite where the stock is another's.
 */
export function createPutBack({
  transactions,
  fenced,
  reservations,
  events,
  clock,
}: {
  transactions: Transactions;
  fenced: Fenced;
  reservations: Pick<ReservationService, 'undo'>;
  events: EventRecorder;
  clock: Clock;
}): PutBack {
  return async ({ eventId, ...cancelled }) => {
    const handled = await fenced(() =>
      transactions.run((tx) =>
        once(onConnection(tx), inboxConsumer, eventId, async () => {
          const { orderId } = cancelled;
          const outcome = await reservations.undo(cancelled, tx);
          if (outcome.kind !== 'reservation') throw new CannotPutBack(orderId, outcome.kind);
          const { id, state } = outcome.reservation;
          const answer = { order_id: orderId, reservation_id: id, outcome: state };
          await events.record('cancellation.stock_answered', { ...answer, occurred_at: clock.now().toISOString() }, tx);
        }),
      ),
    );
    return handled.outcome === 'done' ? 'done' : 'done before';
  };
}
