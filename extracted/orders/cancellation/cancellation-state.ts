/** What was heard of a cancelled order's stock. `asked`: nothing yet; all others mean that the order has none of it any more. */
export const stockAnswers = ['asked', 'expired', 'released', 'returned'] as const;
export type StockAnswer = (typeof stockAnswers)[number];

/**
 * What was heard of its money, in the order in which a payment can come to be so after a cancellation. `asked`: nothing yet. `none`: there is
 * no payment, and will be none. From there on nothing is owed to anybody.
 */
export const paymentAnswers = ['asked', 'cancelling', 'refunding', 'none', 'failed', 'refunded'] as const;
export type PaymentAnswer = (typeof paymentAnswers)[number];

export type CancellationState = { stock: StockAnswer; payment: PaymentAnswer };

/** What one of those says who have heard of the cancellation. */
export type Answer =
  | { of: 'stock'; outcome: Exclude<StockAnswer, 'asked'> }
  | { of: 'payment'; status: Exclude<PaymentAnswer, 'asked'> };

export const asked: CancellationState = { stock: 'asked', payment: 'asked' };

/**
 * What is known after an answer. The later state of the two is kept, so that answers may come in any order and any number of times, and
 * it comes to the same.
 */
export function hear(state: CancellationState, answer: Answer): CancellationState {
  return answer.of === 'stock'
    ? { ...state, stock: later(stockAnswers, state.stock, answer.outcome) }
    : { ...state, payment: later(paymentAnswers, state.payment, answer.status) };
}

/** Whether everybody has taken note; money may still be on its way back. */
export function isHeard({ stock, payment }: CancellationState): boolean {
  return stock !== 'asked' && payment !== 'asked';
}

/** Whether there is nothing left to wait for. */
export function isOver({ stock, payment }: CancellationState): boolean {
  return stock !== 'asked' && (payment === 'none' || payment === 'failed' || payment === 'refunded');
}

function later<T>(inOrder: readonly T[], one: T, other: T): T {
  return inOrder.indexOf(other) > inOrder.indexOf(one) ? other : one;
}
