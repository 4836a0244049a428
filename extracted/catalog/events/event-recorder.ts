import type { Executor } from '@strangler/platform/mysql/statements.ts';
import { onConnection } from '@strangler/platform/outbox/execute.ts';
import { record } from '@strangler/platform/outbox/record.ts';
import { type CatalogEvents, type CatalogEventType, tellings } from './catalog-events.ts';

/** The first word of the routing keys. It stays the shop's: whoever listens need not know where the catalogue has gone. */
export const eventSource = 'shop';

/** Tells the world outside what has happened in the catalogue. */
export type EventRecorder = {
  /**
   * Leaves an event in the transaction of its cause, which holds the lock on the row that the event is keyed by: it is told
   * once if that commits, and never if it does not.
   */
  record<T extends CatalogEventType>(type: T, data: CatalogEvents[T], transaction: Executor): Promise<void>;
};

/** Leaves events in the outbox of the catalogue's database, under the epoch that the slice's writes have then. */
export function createEventRecorder({ epoch }: { epoch: () => number }): EventRecorder {
  return {
    async record(type, data, transaction) {
      const { schemaVersion, aggregate, keyOf } = tellings[type];
      const event = { slice: eventSource, type, schemaVersion, aggregate, key: keyOf(data), data, epoch: epoch() };
      await record(event, onConnection(transaction));
    },
  };
}
