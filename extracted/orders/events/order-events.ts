import type { OrderEvent, SoldLine } from '../order/order-event.ts';
import type { OrderState } from '../order/order-state.ts';

/** What the orders tell of, by type: to the letter what the shop told before. `schemas/` describes each. */
export type OrderEvents = {
  /** An order stands; its stock is taken, its money is not yet. */
  'order.placed': OrderTold & { items: readonly SoldLine[] };
  'order.shipped': OrderTold;
  /** What was taken from stock is put back. */
  'order.cancelled': OrderTold & { items: readonly SoldLine[]; reason: string };
};

export type OrderEventName = keyof OrderEvents;

export type OrderTold = {
  order_id: number;
  account_id: number;
  total_cents: number;
  currency: string;
  /** When it happened: ISO 8601, UTC, with milliseconds. */
  occurred_at: string;
};

export type Telling = { [T in OrderEventName]: { type: T; data: OrderEvents[T] } }[OrderEventName];

/** What is told of what has happened to an order; that it was paid is told by the payments. */
export function tellingOf(orderId: number, event: OrderEvent, state: OrderState): Telling | undefined {
  const data = {
    ...{ order_id: orderId, account_id: state.accountId, total_cents: state.totalCents, currency: state.currency },
    occurred_at: state.updatedAt,
  };
  switch (event.type) {
    case 'order_placed':
      return { type: 'order.placed', data: { ...data, items: state.lines } };
    case 'order_shipped':
      return { type: 'order.shipped', data };
    case 'order_cancelled':
      return { type: 'order.cancelled', data: { ...data, items: state.lines, reason: event.data.reason } };
    case 'order_paid':
    case 'order_imported':
    case 'order_resynced':
      return undefined;
  }
}
