import { onSequelize } from '@strangler/platform/outbox/execute.ts';
import { record } from '@strangler/platform/outbox/record.ts';
import type { Sequelize, Transaction } from 'sequelize';
import type { TellingSides } from '../modules/notifications/owner/telling-sides.ts';
import { type ShopEvents, type ShopEventType, tellings } from './shop-events.ts';

/** The first word of the events' routing keys: `shop.order.placed`. */
export const eventSource = 'shop';

/** Tells the world outside of the shop what has happened. */
export type EventRecorder = {
  /**
   * Leaves an event in the transaction of its cause: it is told once if that commits, and never if it does not. The transaction holds
   * the lock on the row that the event is keyed by, so that events of one key are told in the order of their commits. To be called before
   * stock is locked, which others wait for.
   */
  record<T extends ShopEventType>(type: T, data: ShopEvents[T], transaction: Transaction): Promise<void>;
};

/** The name of the mark by which an event of an order says who tells its customer: `monolith/3`. */
export const tellingMark = 'notifications';

/**
 * Leaves events in the outbox of the shop's database. `epoch` is of what may move to another owner: events of a key are
 * told on by that one under a later epoch. `tellingSides`: who tells customers of what happens to their orders.
 */
export function createEventRecorder(
  sequelize: Sequelize,
  { epoch = () => 1, tellingSides }: { epoch?: () => number; tellingSides?: TellingSides | undefined } = {},
): EventRecorder {
  return {
    async record(type, data, transaction) {
      const { schemaVersion, aggregate, keyOf } = tellings[type];
      const key = String(keyOf(data));
      const told = aggregate === 'order' ? tellingSides?.of(transaction) : undefined;
      const marks = told && { [tellingMark]: `${told.side}/${told.epoch}` };
      await record(
        { slice: eventSource, type, schemaVersion, aggregate, key, data, epoch: epoch(), ...(marks && { marks }) },
        onSequelize(sequelize, transaction),
      );
    },
  };
}
