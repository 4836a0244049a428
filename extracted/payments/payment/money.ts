import { isUnknown, type PaymentNews, type PaymentStatus, transition } from './payment-state.ts';

/**
 * `requested`: owed, and not known to be given back. `done`: given back. `refused`: the provider will not, and nobody owes it.
 */
export type RefundStatus = 'requested' | 'done' | 'refused';

export type Refund = {
  /** Our name for it, and its idempotency key at the provider. */
  reference: string;
  amountCents: number;
  status: RefundStatus;
};

/** A payment as far as money goes. What is `requested` or `done` is never more than `amountCents` together. */
export type Money = {
  /** Of the payment at the provider; references of refunds that nobody asked for are made of it. */
  reference: string;
  amountCents: number;
  status: PaymentStatus;
  refunds: readonly Refund[];
};

export type RefundDecision =
  | { kind: 'refund'; money: Money; refund: Refund }
  /** This reference was used before, for the same amount. */
  | { kind: 'known'; refund: Refund }
  | { kind: 'other_amount'; refund: Refund }
  | { kind: 'too_much'; leftCents: number }
  | { kind: 'not_refundable'; status: PaymentStatus };

/** What was given back, in cents. */
export function refundedCents({ refunds }: Pick<Money, 'refunds'>): number {
  return sum(refunds.filter(({ status }) => status === 'done'));
}

/** What can still be asked back, in cents: neither given back nor promised. */
export function leftCents({ amountCents, refunds }: Pick<Money, 'amountCents' | 'refunds'>): number {
  return amountCents - sum(refunds.filter(({ status }) => status !== 'refused'));
}

/** Whether something is left to be asked of the provider, or to be done by it. */
export function isOpen(money: Money): boolean {
  return (
    isUnknown(money.status) ||
    money.status === 'refunding' ||
    money.refunds.some(({ status }) => status === 'requested')
  );
}

/** The payment after news of it. */
export function hear(money: Money, news: PaymentNews): Money {
  const to = transition(money.status, news);
  if (to === money.status) return money;
  if (to === 'refunding') return settleUp(oweRest({ ...money, status: to }, 'requested'));
  if (to === 'refunded') return givenBack(money);
  return { ...money, status: to };
}

/** A payment that is `refunding` and has no refund for all of it yet, as rows that another system wrote have none. */
export function oweRest(money: Money, status: RefundStatus = 'requested'): Money {
  const rest = leftCents(money);
  if (rest <= 0) return money;
  // One reference a payment, so that several who find it owed ask for the same refund.
  const reference = restReference(money);
  if (money.refunds.some((refund) => refund.reference === reference)) return money;
  return { ...money, refunds: [...money.refunds, { reference, amountCents: rest, status }] };
}

/** The reference of the refund of all that is left. */
export function restReference({ reference }: Pick<Money, 'reference'>): string {
  return `refund-${reference}`;
}

/** Whether `wantedCents` (undefined: all that is left) may be given back under this reference, and what the payment then is. */
export function askRefund(money: Money, reference: string, wantedCents: number | undefined): RefundDecision {
  const known = money.refunds.find((refund) => refund.reference === reference);
  if (known) {
    const same = wantedCents === undefined || known.amountCents === wantedCents;
    return same ? { kind: 'known', refund: known } : { kind: 'other_amount', refund: known };
  }
  if (money.status !== 'settled') return { kind: 'not_refundable', status: money.status };
  const left = leftCents(money);
  const amountCents = wantedCents ?? left;
  if (amountCents > left || amountCents < 1) return { kind: 'too_much', leftCents: left };
  const refund: Refund = { reference, amountCents, status: 'requested' };
  return { kind: 'refund', refund, money: settleUp({ ...money, refunds: [...money.refunds, refund] }) };
}

/** The payment after the provider has given a refund back. Told again, it changes nothing. */
export function refundDone(money: Money, reference: string): Money {
  return settleUp(withStatus(money, reference, 'done'));
}

/**
 * The payment after the provider has refused a refund. What is owed because the order was given up stays owed: a person
 * has to see to it.
 */
export function refundRefused(money: Money, reference: string): Money {
  return money.status === 'settled' ? withStatus(money, reference, 'refused') : money;
}

/** All of it is back, whoever gave it: what was asked for is done, and the rest was given back without our asking. */
function givenBack(money: Money): Money {
  const refunds = money.refunds.map((refund): Refund => {
    return refund.status === 'requested' ? { ...refund, status: 'done' } : refund;
  });
  return oweRest({ ...money, status: 'refunded', refunds }, 'done');
}

function settleUp(money: Money): Money {
  if (money.status !== 'settled' && money.status !== 'refunding') return money;
  if (refundedCents(money) === money.amountCents) return { ...money, status: 'refunded' };
  return leftCents(money) === 0 ? { ...money, status: 'refunding' } : money;
}

function withStatus(money: Money, reference: string, status: 'done' | 'refused'): Money {
  const refunds = money.refunds.map((refund): Refund => {
    return refund.reference === reference && refund.status === 'requested' ? { ...refund, status } : refund;
  });
  return { ...money, refunds };
}

function sum(refunds: readonly Refund[]): number {
  return refunds.reduce((total, { amountCents }) => total + amountCents, 0);
}
