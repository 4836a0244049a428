/** What the shop tells of, by type. Each `data` is described by `schemas/<type>.v<version>.json`, to the letter. */
export type ShopEvents = {
  'order.placed': OrderPlaced;
  'order.shipped': OrderShipped;
  'order.cancelled': OrderCancelled;
  'payment.settled': PaymentSettled;
  'payment.failed': PaymentFailed;
  'payment.refunded': PaymentRefunded;
  'account.registered': AccountRegistered;
  'account.renamed': AccountRenamed;
};

export type ShopEventType = keyof ShopEvents;

/** When it happened: ISO 8601, UTC, with milliseconds. */
type Occurred = { occurred_at: string };

type OfOrder = Occurred & { order_id: number; account_id: number; total_cents: number; currency: string };

/** A line of an order, with the name and the price that it was sold under. */
export type SoldItem = { product_id: number; name: string; unit_price_cents: number; quantity: number };

/** An order stands; its stock is taken, its money is not yet. */
export type OrderPlaced = OfOrder & { items: SoldItem[] };
export type OrderShipped = OfOrder;
/** What was taken from stock is put back. */
export type OrderCancelled = OfOrder & { items: SoldItem[]; reason: string };

type OfPayment = Occurred & {
  payment_id: number;
  order_id: number;
  account_id: number;
  amount_cents: number;
  currency: string;
};

/** The money was taken. */
export type PaymentSettled = OfPayment;
/** No money was taken. */
export type PaymentFailed = OfPayment & { failure_code: string };
/** The money was given back, all of it. */
export type PaymentRefunded = OfPayment;

export type AccountRegistered = Occurred & { account_id: number; email: string; display_name: string; role: string };
export type AccountRenamed = Occurred & { account_id: number; display_name: string };

/** How events of a type are told. */
export type Telling<T extends ShopEventType> = {
  /** The schema that `data` is of. */
  schemaVersion: number;
  /** Events of one aggregate and key are heard in the order in which they happened. */
  aggregate: 'order' | 'account';
  /** The id of the row that is locked by whoever tells. */
  keyOf(data: ShopEvents[T]): number;
};

const ofOrder = { aggregate: 'order', keyOf: ({ order_id }: { order_id: number }) => order_id } as const;
const ofAccount = { aggregate: 'account', keyOf: ({ account_id }: { account_id: number }) => account_id } as const;

/** An order has one payment, which is told of under the order's key: so an order's whole story is in order. */
export const tellings: { readonly [T in ShopEventType]: Telling<T> } = {
  'order.placed': { schemaVersion: 1, ...ofOrder },
  'order.shipped': { schemaVersion: 1, ...ofOrder },
  'order.cancelled': { schemaVersion: 1, ...ofOrder },
  'payment.settled': { schemaVersion: 1, ...ofOrder },
  'payment.failed': { schemaVersion: 1, ...ofOrder },
  'payment.refunded': { schemaVersion: 1, ...ofOrder },
  'account.registered': { schemaVersion: 1, ...ofAccount },
  'account.renamed': { schemaVersion: 1, ...ofAccount },
};
