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
  'product.created': ProductTold;
  'product.changed': ProductTold;
  'product.removed': ProductRemoved;
  'review.posted': ReviewTold;
  'review.removed': ReviewTold;
  'category.created': CategoryTold;
  'category.changed': CategoryTold;
  'category.removed': CategoryRemoved;
  'prices.changed': PricesChanged;
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

/** A product as it is from then on. */
export type ProductTold = Occurred & {
  product_id: number;
  version: number;
  sku: string;
  name: string;
  category_id: number;
  price_cents: number;
  currency: string;
  active: boolean;
};
/** Nothing shows or sells it any more. */
export type ProductRemoved = Occurred & { product_id: number; version: number };

/** A review that was written or deleted, with the product's rating as it is from then on. */
export type ReviewTold = Occurred & {
  product_id: number;
  review_id: number;
  account_id: number;
  rating: number;
  rating_average: number;
  rating_count: number;
};

/** `parent_id` is missing where there is no parent. */
export type CategoryTold = Occurred & { category_id: number; name: string; slug: string; parent_id?: number };
export type CategoryRemoved = Occurred & { category_id: number };

/** Prices of many products were changed at once; there are no events of these products beside it. */
export type PricesChanged = Occurred & { run: string; rule: string; percent: number; changed: number };

/** How events of a type are told. */
export type Telling<T extends ShopEventType> = {
  /** The schema that `data` is of. */
  schemaVersion: number;
  /** Events of one aggregate and key are heard in the order in which they happened. */
  aggregate: 'order' | 'account' | 'product' | 'category' | 'prices';
  /** The id of the row that is locked by whoever tells, or a name. */
  keyOf(data: ShopEvents[T]): number | string;
};

const ofOrder = { aggregate: 'order', keyOf: ({ order_id }: { order_id: number }) => order_id } as const;
const ofAccount = { aggregate: 'account', keyOf: ({ account_id }: { account_id: number }) => account_id } as const;

const ofProduct = { aggregate: 'product', keyOf: ({ product_id }: { product_id: number }) => product_id } as const;
const ofCategory = {
  aggregate: 'category',
  keyOf: ({ category_id }: { category_id: number }) => category_id,
} as const;

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
  'product.created': { schemaVersion: 1, ...ofProduct },
  'product.changed': { schemaVersion: 1, ...ofProduct },
  'product.removed': { schemaVersion: 1, ...ofProduct },
  'review.posted': { schemaVersion: 1, ...ofProduct },
  'review.removed': { schemaVersion: 1, ...ofProduct },
  'category.created': { schemaVersion: 1, ...ofCategory },
  'category.changed': { schemaVersion: 1, ...ofCategory },
  'category.removed': { schemaVersion: 1, ...ofCategory },
  'prices.changed': { schemaVersion: 1, aggregate: 'prices', keyOf: ({ rule }) => rule },
};
