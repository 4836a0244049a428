import type { SoldLine } from '../order/order-event.ts';

/** Why a saga undoes what it did. */
export type Why =
  /** Too little stock, before there was an order. */
  | 'short'
  /** The cart was sold or changed by another request. */
  | 'cart_changed'
  /** The card was lost, or somebody did not answer for long, before there was an order. */
  | 'gave_up'
  | 'payment_failed'
  /** The card was lost with its process before anybody was charged. */
  | 'payment_not_made'
  /** Nobody knows what became of the charge, and has not known for too long. */
  | 'payment_unknown'
  /** Stock that was held ran out of time, and what was left was sold to others. */
  | 'out_of_stock'
  | 'customer'
  | 'admin';

export type Shortage = { productId: number; wanted: number; left: number };

/**
 * What is known of each part of a sale, and nothing else: what is to be done next follows from it. `asked` stands before
 * anything was sent, so that what was asked for is undone whether or not it was answered.
 */
export type SagaState = {
  goal: 'sell' | 'undo';
  why: Why | null;
  /** Who asked for the order to be cancelled. */
  by: number | null;
  /** Stock and money of the cancelled order are given back by those who have them, unasked. Missing: this saga asks them. */
  isLeftToOthers?: true;
  sale: { accountId: number; currency: string; totalCents: number; cartVersion: string | null; lines: SoldLine[] };
  /** `sold`: confirmed. `back`: given back, or nothing was ever taken. */
  stock: 'asked' | 'held' | 'sold' | 'back' | 'short';
  /** Which reservation it is: one whose time ran out is followed by another. 0: it was sold without one. */
  reservation: number;
  heldUntilMs: number | null;
  shortages: Shortage[];
  cart: 'none' | 'asked' | 'taken' | 'changed' | 'returned';
  order: 'none' | 'placed' | 'paid' | 'cancelled';
  /** `absent`: there is none. `returning`: the payments see to it that all money goes back, whatever turns up. `returned`: it is. */
  payment: 'none' | 'asked' | 'pending' | 'settled' | 'failed' | 'absent' | 'returning' | 'returned';
  failureCode: string | null;
  startedMs: number;
  /** When the payment was first asked for. */
  askedMs: number | null;
  /** Answers that did not come, in a row. */
  misses: number;
  /** Nothing is to be done before. */
  notBeforeMs: number;
};

export type Timings = {
  /** A hold is confirmed, paid or not, when so little of its time is left. Longer than the longest pause. */
  holdMarginMs: number;
  /** Without stock and cart by then, nothing is ordered. */
  orderWithinMs: number;
  /** After this time nothing that asked for the charge can still be on its way. */
  chargeGraceMs: number;
  /** The order is given up when the charge is not decided by then. */
  payWithinMs: number;
  /** The first and the longest pause before asking again. */
  firstPauseMs: number;
  longestPauseMs: number;
};

export type PaymentStatus = 'pending' | 'settled' | 'failed' | 'cancelling' | 'refunding' | 'refunded';

/** What becomes known. Each may be told again, and late. */
export type Happening =
  | { kind: 'reserved'; reservation: number; untilMs: number }
  | { kind: 'short'; reservation: number; shortages: Shortage[] }
  /** The reservation can neither be confirmed nor given back any more: its time was over, or it was given back. */
  | { kind: 'reservation gone'; reservation: number }
  | { kind: 'stock sold'; reservation: number }
  | { kind: 'stock back' }
  | { kind: 'cart taken' }
  | { kind: 'cart changed' }
  | { kind: 'cart returned' }
  | { kind: 'order placed' }
  | { kind: 'order paid' }
  | { kind: 'order cancelled' }
  /** It cannot be cancelled any more. */
  | { kind: 'order shipped' }
  /** It is not to be cancelled here: whose it is now decides that. */
  | { kind: 'order stands' }
  | { kind: 'payment'; status: PaymentStatus; failureCode: string | null }
  | { kind: 'no payment' }
  | { kind: 'cancel asked'; why: 'customer' | 'admin'; by: number | null }
  /** That the order is cancelled was told to those who have its stock and its money, and they need not be asked. */
  | { kind: 'left to others' }
  /** Whoever had the card is gone: nobody here can pay what is ordered. */
  | { kind: 'card lost' }
  /** Somebody did not answer, or could not now. */
  | { kind: 'no answer' };

export type Command =
  | 'reserve'
  | 'take cart'
  | 'place order'
  /** Where the card is not known any more: ask what became of it. */
  | 'charge'
  | 'confirm stock'
  | 'pay order'
  | 'cancel order'
  | 'release stock'
  | 'give back stock'
  | 'return cart'
  | 'cancel payment'
  | 'ask payment';

export type Plan = { kind: 'do'; command: Command } | { kind: 'wait'; untilMs: number } | { kind: 'ended' };

export function newSale(sale: SagaState['sale'], nowMs: number): SagaState {
  return {
    ...{ goal: 'sell', why: null, by: null, sale, stock: 'asked', reservation: 1, heldUntilMs: null, shortages: [] },
    ...{ cart: 'none', order: 'none', payment: 'none', failureCode: null, startedMs: nowMs, askedMs: null },
    ...{ misses: 0, notBeforeMs: 0 },
  };
}

/** Of an order that another system has placed, and paid or not. */
export function adopted(sale: SagaState['sale'], order: 'placed' | 'paid', nowMs: number): SagaState {
  const asked = { order, payment: order === 'paid' ? 'settled' : 'asked', askedMs: nowMs } as const;
  return { ...newSale(sale, nowMs), stock: 'sold', reservation: 0, ...asked };
}

/** What is known after something has become known. Told again, it changes nothing. */
export function after(state: SagaState, happening: Happening, nowMs: number, timings: Timings): SagaState {
  if (happening.kind === 'no answer') return missed(state, nowMs, timings);
  const heard = hear(state, happening, nowMs, timings);
  if (heard === state) return state;
  // Where it was heard that nothing is decided yet, there is a pause before it is asked again.
  return heard.misses > state.misses ? heard : { ...heard, misses: 0, notBeforeMs: 0 };
}

function hear(state: SagaState, happening: Happening, nowMs: number, timings: Timings): SagaState {
  const { stock, cart, order } = state;
  if ('reservation' in happening && happening.reservation !== state.reservation) return state;
  switch (happening.kind) {
    case 'reserved':
      if (stock !== 'asked') return state;
      return {
        ...{ ...state, stock: 'held', heldUntilMs: happening.untilMs },
        cart: cart === 'none' && order === 'none' && state.goal === 'sell' ? 'asked' : cart,
      };
    case 'short':
      if (stock !== 'asked') return state;
      return undoing(
        { ...state, stock: 'short', shortages: happening.shortages },
        order === 'none' ? 'short' : 'out_of_stock',
      );
    case 'reservation gone':
      if (stock !== 'asked' && stock !== 'held') return state;
      if (state.goal === 'undo') return { ...state, stock: 'back' };
      return { ...state, stock: 'asked', heldUntilMs: null, reservation: state.reservation + 1 };
    case 'stock sold':
      return stock === 'asked' || stock === 'held' ? { ...state, stock: 'sold' } : state;
    case 'stock back':
      return state.goal === 'undo' && stock !== 'short' && stock !== 'back' ? { ...state, stock: 'back' } : state;
    case 'cart taken':
      return cart === 'asked' ? { ...state, cart: 'taken' } : state;
    case 'cart changed':
      return cart === 'asked' ? undoing({ ...state, cart: 'changed' }, 'cart_changed') : state;
    case 'cart returned':
      return cart === 'asked' || cart === 'taken' ? { ...state, cart: 'returned' } : state;
    case 'order placed':
      return order === 'none' ? { ...state, order: 'placed', payment: 'asked', askedMs: nowMs } : state;
    case 'order paid':
      return order === 'placed' ? { ...state, order: 'paid' } : state;
    case 'order cancelled':
      return order === 'placed' || order === 'paid' ? undoing({ ...state, order: 'cancelled' }, 'admin') : state;
    case 'order shipped':
      return order === 'placed' || order === 'paid' ? { ...state, goal: 'sell', why: null, order: 'paid' } : state;
    case 'order stands':
      if (state.goal === 'sell' || (order !== 'placed' && order !== 'paid')) return state;
      return { ...state, goal: 'sell', why: null };
    case 'payment':
      return ofPayment(state, happening, nowMs, timings);
    case 'no payment':
      return withoutPayment(state, nowMs, timings);
    case 'cancel asked':
      if (order !== 'placed' && order !== 'paid') return state;
      return undoing({ ...state, by: happening.by }, happening.why);
    case 'left to others':
      return order === 'cancelled' ? { ...state, isLeftToOthers: true } : state;
    case 'card lost':
      return order === 'none' ? undoing(state, 'gave_up') : state;
    case 'no answer':
      return state;
  }
}

/** An order that is paid stays so, whatever is given back of its money: what becomes of the goods is for a person to decide. */
function ofPayment(
  state: SagaState,
  { status, failureCode }: Extract<Happening, { kind: 'payment' }>,
  nowMs: number,
  timings: Timings,
): SagaState {
  const { payment, order } = state;
  const isOpen = payment === 'asked' || payment === 'pending';
  switch (status) {
    case 'pending':
      if (!isOpen && payment !== 'absent') return state;
      if (state.goal === 'undo') return payment === 'pending' ? state : { ...state, payment: 'pending' };
      if (nowMs >= (state.askedMs ?? nowMs) + timings.payWithinMs) {
        return undoing({ ...state, payment: 'pending' }, 'payment_unknown');
      }
      return pausing({ ...state, payment: 'pending' }, nowMs, timings);
    case 'settled':
      return isOpen || payment === 'absent' || payment === 'failed' ? { ...state, payment: 'settled' } : state;
    case 'failed':
      if (payment === 'returning') return { ...state, payment: 'failed', failureCode };
      return isOpen ? undoing({ ...state, payment: 'failed', failureCode }, 'payment_failed') : state;
    case 'cancelling':
    case 'refunding':
    case 'refunded': {
      if (payment === 'none' || payment === 'returned' || (order === 'paid' && state.goal === 'sell')) return state;
      if (status === 'refunded') return undoing({ ...state, payment: 'returned' }, 'payment_failed');
      if (payment === 'returning') return pausing(state, nowMs, timings);
      return undoing({ ...state, payment: 'returning' }, 'payment_failed');
    }
  }
}

/**
 * Nobody knows of a payment. One that was never heard of may still be on its way for a while; one that was is asked for as long
 * as the outcome of any, and then a person has to see to it.
 */
function withoutPayment(state: SagaState, nowMs: number, timings: Timings): SagaState {
  const { payment } = state;
  if (payment === 'none' || payment === 'failed' || payment === 'absent' || payment === 'returned') return state;
  const waitsMs = payment === 'asked' ? timings.chargeGraceMs : timings.payWithinMs;
  if (nowMs < (state.askedMs ?? nowMs) + waitsMs) return pausing(state, nowMs, timings);
  return undoing({ ...state, payment: 'absent' }, 'payment_not_made');
}

/** The first reason stays. */
function undoing(state: SagaState, why: Why): SagaState {
  return state.goal === 'undo' ? state : { ...state, goal: 'undo', why };
}

function missed(state: SagaState, nowMs: number, timings: Timings): SagaState {
  const paused = pausing(state, nowMs, timings);
  if (state.goal === 'sell' && state.order === 'none' && nowMs >= state.startedMs + timings.orderWithinMs) {
    return { ...undoing(paused, 'gave_up'), misses: 0, notBeforeMs: 0 };
  }
  const isOpen = state.payment === 'asked' || state.payment === 'pending';
  if (state.goal === 'sell' && isOpen && nowMs >= (state.askedMs ?? nowMs) + timings.payWithinMs) {
    return undoing(paused, 'payment_unknown');
  }
  return paused;
}

function pausing(state: SagaState, nowMs: number, { firstPauseMs, longestPauseMs }: Timings): SagaState {
  if (nowMs < state.notBeforeMs) return state;
  const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(state.misses, 20));
  return { ...state, misses: state.misses + 1, notBeforeMs: nowMs + pauseMs };
}

/** What is to be done now. */
export function plan(state: SagaState, nowMs: number, timings: Timings): Plan {
  const next = state.goal === 'sell' ? toSell(state) : toUndo(state);
  if (next === undefined) return { kind: 'ended' };
  if (nowMs < state.notBeforeMs) return { kind: 'wait', untilMs: state.notBeforeMs };
  // Stock that is held is sold to the order before its time is over, even where nobody knows yet whether that will be paid.
  const endsSoon = state.stock === 'held' && nowMs >= (state.heldUntilMs ?? 0) - timings.holdMarginMs;
  return { kind: 'do', command: next === 'charge' && endsSoon ? 'confirm stock' : next };
}

function toSell({ stock, cart, order, payment }: SagaState): Command | undefined {
  if (stock === 'asked') return 'reserve';
  if (cart === 'asked') return 'take cart';
  if (order === 'none') return 'place order';
  if (payment === 'asked' || payment === 'pending') return 'charge';
  if (stock === 'held') return 'confirm stock';
  if (order === 'placed') return 'pay order';
  return undefined;
}

/** The order first, so that nobody ships it; the money last, for it may have to be waited for. */
function toUndo({ stock, cart, order, payment, isLeftToOthers }: SagaState): Command | undefined {
  if (order === 'placed' || order === 'paid') return 'cancel order';
  if (isLeftToOthers) return undefined;
  if (stock === 'asked' || stock === 'held') return 'release stock';
  if (stock === 'sold') return 'give back stock';
  if (order === 'none' && (cart === 'asked' || cart === 'taken')) return 'return cart';
  if (payment === 'asked' || payment === 'pending' || payment === 'settled') return 'cancel payment';
  if (payment === 'returning') return 'ask payment';
  return undefined;
}

/** Whether the customer can be told how it went: the payment is decided, or nobody knows how it will be. */
export function isDecided(state: SagaState, nowMs: number, timings: Timings): boolean {
  if (plan(state, nowMs, timings).kind === 'ended') return true;
  return state.goal === 'sell' ? state.payment === 'pending' : state.order === 'cancelled' && isUndone(state);
}

/** Whether the others have taken note that it is undone; money may still be on its way back. */
export function isUndone({ stock, payment }: SagaState): boolean {
  const hasStock = stock === 'asked' || stock === 'held' || stock === 'sold';
  return !hasStock && payment !== 'asked' && payment !== 'pending' && payment !== 'settled';
}
