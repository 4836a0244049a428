/**
 * What is known of a payment.
 *
 * - `pending`: asked for, outcome not known.
 * - `settled`: the money was taken.
 * - `failed`: no money was taken.
 * - `cancelling`: the order was cancelled before the outcome was known; money that turns out to be taken goes back.
 * - `refunding`: the money was taken and all of it is owed back.
 * - `refunded`: all of it was given back.
 */
export const paymentStatuses = ['pending', 'settled', 'failed', 'cancelling', 'refunding', 'refunded'] as const;
export type PaymentStatus = (typeof paymentStatuses)[number];

/** What is learnt of a payment: three things from the provider, and one from whoever has the order. */
export const paymentNews = ['settled', 'failed', 'refunded', 'order_cancelled'] as const;
export type PaymentNews = (typeof paymentNews)[number];

/**
 * The payment's next state. News may come in any order and any number of times: a state that was reached is kept, and what
 * contradicts the provider's own earlier word (`failed` after `settled`) changes nothing. A charge that settles after the
 * payment was given up is refunded, because what it was for has been sold to others by then.
 */
const transitions: Record<PaymentStatus, Record<PaymentNews, PaymentStatus>> = {
  pending: { settled: 'settled', failed: 'failed', refunded: 'refunded', order_cancelled: 'cancelling' },
  settled: { settled: 'settled', failed: 'settled', refunded: 'refunded', order_cancelled: 'refunding' },
  failed: { settled: 'refunding', failed: 'failed', refunded: 'refunded', order_cancelled: 'failed' },
  cancelling: { settled: 'refunding', failed: 'failed', refunded: 'refunded', order_cancelled: 'cancelling' },
  refunding: { settled: 'refunding', failed: 'refunding', refunded: 'refunded', order_cancelled: 'refunding' },
  refunded: { settled: 'refunded', failed: 'refunded', refunded: 'refunded', order_cancelled: 'refunded' },
};

/** What `news` makes of a payment in state `status`. */
export function transition(status: PaymentStatus, news: PaymentNews): PaymentStatus {
  return transitions[status][news];
}

/** Whether the outcome of the charge is not known. */
export function isUnknown(status: PaymentStatus): boolean {
  return status === 'pending' || status === 'cancelling';
}
