import type { StockEvents, StockEventType } from '../events/stock-events.ts';
import type { Reservation } from './reservation-store.ts';

type Told = { [T in StockEventType]: { type: T; data: StockEvents[T] } }[StockEventType];

/** What is told of a reservation that has just come into its state; undefined for a state that is nobody else's matter. */
export function toldOf(reservation: Reservation, { reason, now }: { reason: string; now: Date }): Told | undefined {
  const { id, state, accountId, orderId, expiresAt, lines } = reservation;
  const data = {
    reservation_id: id,
    ...(orderId === null ? {} : { order_id: orderId }),
    lines: lines.map(({ productId, quantity }) => ({ product_id: productId, quantity })),
    occurred_at: now.toISOString(),
  };
  const expires_at = expiresAt.toISOString();
  switch (state) {
    case 'held':
      return {
        type: 'stock.reserved',
        data: { ...data, ...(accountId === null ? {} : { account_id: accountId }), expires_at },
      };
    case 'confirmed':
      return { type: 'stock.confirmed', data };
    case 'expired':
      return { type: 'stock.expired', data: { ...data, expires_at } };
    case 'released':
    case 'returned':
      return { type: 'stock.released', data: { ...data, reason } };
    case 'surrendered':
      return undefined;
  }
}
