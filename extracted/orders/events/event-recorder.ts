import type { Executor } from '@strangler/platform/mysql/statements.ts';
import { onConnection } from '@strangler/platform/outbox/execute.ts';
import { record } from '@strangler/platform/outbox/record.ts';
import type { OrderEvent } from '../order/order-event.ts';
import type { OrderState } from '../order/order-state.ts';
import { tellingOf } from './order-events.ts';

/** The first word of the routing keys. It stays the shop's: whoever listens need not know where the orders have gone. */
export const eventSource = 'shop';

/** Leaves events in the transaction of their cause: each is told once if that commits, and never if it does not. */
export type EventRecorder = {
  /** The transaction holds the lock on the order, so that events of one order are told in the order of their commits. */
  order(
    orderId: number,
    event: OrderEvent,
    state: OrderState,
    transaction: Executor,
    marks?: Record<string, string>,
  ): Promise<void>;
};

/** Leaves events in the outbox of the orders' database, under the epoch that the slice's writes have then. */
export function createEventRecorder({ epoch }: { epoch: () => number }): EventRecorder {
  return {
    async order(orderId, event, state, transaction, marks) {
      const telling = tellingOf(orderId, event, state);
      if (telling === undefined) return;
      const about = { slice: eventSource, schemaVersion: 1, aggregate: 'order', key: `${orderId}`, epoch: epoch() };
      const said = marks === undefined ? {} : { marks };
      await record({ ...about, ...said, type: telling.type, data: telling.data }, onConnection(transaction));
    },
  };
}
