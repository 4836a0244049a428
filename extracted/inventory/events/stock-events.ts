/** What the inventory tells of, by type. `schemas/` describes it to whoever listens. */
export type StockEvents = {
  'stock.changed': Occurred & { product_id: number; available: number; version: number };
  'stock.reserved': OfReservation & { account_id?: number; expires_at: string };
  'stock.confirmed': OfReservation;
  'stock.released': OfReservation & { reason: string };
  'stock.expired': OfReservation & { expires_at: string };
  /** To whoever has told that an order is cancelled; `outcome`: what its reservation is. */
  'cancellation.stock_answered': Occurred & { order_id: number; reservation_id: string; outcome: string };
};

export type StockEventType = keyof StockEvents;

/** When it happened: ISO 8601, UTC, with milliseconds. */
type Occurred = { occurred_at: string };

/** `order_id` is missing while there is no order. */
type OfReservation = Occurred & {
  reservation_id: string;
  order_id?: number;
  lines: { product_id: number; quantity: number }[];
};

type Telling<T extends StockEventType> = {
  schemaVersion: number;
  /** Events of one aggregate and key are heard in the order in which they happened. */
  aggregate: 'stock' | 'reservation' | 'order';
  keyOf(data: StockEvents[T]): string;
};

const ofReservation = {
  schemaVersion: 1,
  aggregate: 'reservation',
  keyOf: ({ reservation_id }: { reservation_id: string }) => reservation_id,
} as const;

export const tellings: { readonly [T in StockEventType]: Telling<T> } = {
  'stock.changed': { schemaVersion: 1, aggregate: 'stock', keyOf: ({ product_id }) => `${product_id}` },
  'stock.reserved': ofReservation,
  'stock.confirmed': ofReservation,
  'stock.released': ofReservation,
  'stock.expired': ofReservation,
  'cancellation.stock_answered': { schemaVersion: 1, aggregate: 'order', keyOf: ({ order_id }) => `${order_id}` },
};
