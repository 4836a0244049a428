import type { Executor } from '@strangler/platform/mysql/statements.ts';
import { onConnection } from '@strangler/platform/outbox/execute.ts';
import { record } from '@strangler/platform/outbox/record.ts';
import { type PaymentAnswered, type PaymentEvents, type PaymentEventType, telling } from './payment-events.ts';

/** The first word of the routing keys. It stays the shop's: whoever listens need not know where the payments have gone. */
export const eventSource = 'shop';

/** A webhook that could not be taken, for the queue from which it ends among the dead letters, with its reason. */
export type RefusedWebhook = { event_id: string; reason: string; body: string };

/** The first word of the routing key of what the service tells itself. */
export const ownSource = 'payments';
export const refusedWebhookType = 'webhook.refused';

/** Leaves events in the transaction of their cause: each is told once if that commits, and never if it does not. */
export type EventRecorder = {
  /** The transaction holds the lock on the payment, so that events of one order are told in the order of their commits. */
  payment<T extends PaymentEventType>(type: T, data: PaymentEvents[T], transaction: Executor): Promise<void>;
  /** That a cancelled order was heard of. It bears no mark: customers are not told of it. */
  answer(data: PaymentAnswered, transaction: Executor): Promise<void>;
  refusedWebhook(webhook: RefusedWebhook, transaction: Executor): Promise<void>;
};

/** What says of an event that this service has written it, and not the shop, which tells of payments in the same words. */
export const writerMark = 'payments';

/**
 * Leaves events in the outbox of the payments' database, under the epoch that the slice's writes have then. `marks`: what else is
 * said to consumers of how the customer is told.
 */
export function createEventRecorder({
  epoch,
  marks = () => ({}),
}: {
  epoch: () => number;
  marks?: () => Record<string, string>;
}): EventRecorder {
  return {
    async payment(type, data, transaction) {
      const now = epoch();
      const event = { slice: eventSource, type, ...telling, key: `${data.order_id}`, data, epoch: now };
      const said = { [writerMark]: `service/${now}`, ...marks() };
      await record({ ...event, marks: said }, onConnection(transaction));
    },
    async answer(data, transaction) {
      const event = { slice: eventSource, type: 'cancellation.payment_answered', ...telling };
      await record({ ...event, key: `${data.order_id}`, data, epoch: epoch() }, onConnection(transaction));
    },
    async refusedWebhook(webhook, transaction) {
      const about = { slice: ownSource, type: refusedWebhookType, schemaVersion: 1, aggregate: 'webhook' };
      await record({ ...about, key: webhook.event_id, data: webhook, epoch: epoch() }, onConnection(transaction));
    },
  };
}
