import type { Executor } from '@strangler/platform/mysql/statements.ts';
import { onConnection } from '@strangler/platform/outbox/execute.ts';
import { record } from '@strangler/platform/outbox/record.ts';
import { type StockEvents, type StockEventType, tellings } from './stock-events.ts';

/** The first word of the routing keys: the shop's, as that of every event of every service, wherever the capability is. */
export const eventSource = 'shop';

/** Tells the world outside what has happened to the stock. */
export type EventRecorder = {
  /**
   * Leaves an event in the transaction of its cause, which holds the lock on the row that the event is keyed by: it is told
   * once if that commits, and never if it does not.
   */
  record<T extends StockEventType>(type: T, data: StockEvents[T], transaction: Executor): Promise<void>;
};

/** Leaves events in the outbox of the inventory's database, under the epoch that the slice's writes have then. */
export function createEventRecorder({ epoch }: { epoch: () => number }): EventRecorder {
  return {
    async record(type, data, transaction) {
      const { schemaVersion, aggregate, keyOf } = tellings[type];
      const event = { slice: eventSource, type, schemaVersion, aggregate, key: keyOf(data), data, epoch: epoch() };
      await record(event, onConnection(transaction));
    },
  };
}
