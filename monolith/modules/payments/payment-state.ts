/**
 * What is known of a payment.
 *
 * - `pending`: asked for, outcome not known.
 * - `settled`: the money was taken.
 * - `failed`: no money was taken; the order is cancelled.
 * - `cancelling`: the order was cancelled before the outcome was known; money that turns out to be taken goes back.
 * - `refunding`: the money was taken and is owed back.
 * - `refunded`: the money was given back.
 */
export const paymentStatuses = ['pending', 'settled', 'failed', 'cancelling', 'refunding', 'refunded'] as const;
export type PaymentStatus = (typeof paymentStatuses)[number];

/** What is learnt of a payment: three things from the provider, and one from the shop. */
export type PaymentNews = 'settled' | 'failed' | 'refunded' | 'order_cancelled';

/** What a change of a payment means for its order. */
export type OrderEffect = 'none' | 'pay_order' | 'cancel_order';

export type Transition = { to: PaymentStatus; order: OrderEffect };

const stay = (to: PaymentStatus): Transition => ({ to, order: 'none' });

/**
 * The payment's next state. News may come in any order and any number of times: a state already reached is kept, and what
 * contradicts the provider's own earlier word (a charge `failed` after it `settled`) changes nothing. A charge that settles after the
 * shop has given it up is refunded, because its stock is sold to others by then.
 */
const transitions: Record<PaymentStatus, Record<PaymentNews, Transition>> = {
  pending: {
    settled: { to: 'settled', order: 'pay_order' },
    failed: { to: 'failed', order: 'cancel_order' },
    refunded: { to: 'refunded', order: 'cancel_order' },
    order_cancelled: stay('cancelling'),
  },
  settled: {
    settled: stay('settled'),
    failed: stay('settled'),
    // Given back at the provider and not by the shop: what becomes of the goods is for a person to decide.
    refunded: stay('refunded'),
    order_cancelled: stay('refunding'),
  },
  failed: {
    settled: stay('refunding'),
    failed: stay('failed'),
    refunded: stay('refunded'),
    order_cancelled: stay('failed'),
  },
  cancelling: {
    settled: stay('refunding'),
    failed: stay('failed'),
    refunded: stay('refunded'),
    order_cancelled: stay('cancelling'),
  },
  refunding: {
    settled: stay('refunding'),
    failed: stay('refunding'),
    refunded: stay('refunded'),
    order_cancelled: stay('refunding'),
  },
  refunded: {
    settled: stay('refunded'),
    failed: stay('refunded'),
    refunded: stay('refunded'),
    order_cancelled: stay('refunded'),
  },
};

/** What `news` makes of a payment in state `status`. */
export function transition(status: PaymentStatus, news: PaymentNews): Transition {
  return transitions[status][news];
}

/** Whether the provider still has something to tell about, or to do for, a payment in this state. */
export function isOpen(status: PaymentStatus): boolean {
  return status === 'pending' || status === 'cancelling' || status === 'refunding';
}
