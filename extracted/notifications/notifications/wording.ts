export const notificationKinds = [
  'order_placed',
  'payment_settled',
  'payment_failed',
  'order_cancelled',
  'payment_refunded',
  'order_shipped',
] as const;
export type NotificationKind = (typeof notificationKinds)[number];

/** What happened, to whom, with which order, over how much money. */
export type Happening = {
  kind: NotificationKind;
  accountId: number;
  orderId: number;
  amountCents: number;
  currency: string;
};

/** What the customer reads: to the letter as in the shop. */
export function wordingOf({ kind, orderId, amountCents, currency }: Happening): { title: string; body: string } {
  const amount = amountText(amountCents, currency);
  switch (kind) {
    case 'order_placed':
      return { title: `Order ${orderId} was placed`, body: `We have your order ${orderId} over ${amount}.` };
    case 'order_shipped':
      return { title: `Order ${orderId} was shipped`, body: `Your order ${orderId} is on its way.` };
    case 'order_cancelled':
      return { title: `Order ${orderId} was cancelled`, body: `Your order ${orderId} over ${amount} was cancelled.` };
    case 'payment_settled':
      return { title: `Payment for order ${orderId}`, body: `Your payment of ${amount} has arrived.` };
    case 'payment_failed':
      return { title: `Payment for order ${orderId} failed`, body: `Your payment of ${amount} was not taken.` };
    case 'payment_refunded':
      return { title: `Refund for order ${orderId}`, body: `We have given back ${amount}.` };
  }
}

/** `1234`, `EUR` → `12.34 EUR`. */
export function amountText(cents: number, currency: string): string {
  return `${(cents / 100).toFixed(2)} ${currency}`;
}
