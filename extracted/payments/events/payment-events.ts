/** What the payments tell of, by type: to the letter what the shop told before. `schemas/` describes each. */
export type PaymentEvents = {
  'payment.settled': PaymentTold;
  'payment.failed': PaymentTold & { failure_code: string };
  /** All of the money was given back. */
  'payment.refunded': PaymentTold;
};

export type PaymentEventType = keyof PaymentEvents;

export type PaymentTold = {
  payment_id: number;
  order_id: number;
  account_id: number;
  amount_cents: number;
  currency: string;
  /** When it happened: ISO 8601, UTC, with milliseconds. */
  occurred_at: string;
};

/** To whoever has told that an order is cancelled; `payment` is null where there is none, and will be none. */
export type PaymentAnswered = {
  order_id: number;
  payment: {
    id: number;
    status: string;
    amount_cents: number;
    currency: string;
    failure_code: string | null;
    created_at: string;
    updated_at: string;
  } | null;
  occurred_at: string;
};

/** An order has one payment, which is told of under the order's key. */
export const telling = { schemaVersion: 1, aggregate: 'order' } as const;
