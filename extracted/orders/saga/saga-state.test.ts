import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { planToLeave } from './leave.ts';
import {
  adopted,
  after,
  type Command,
  type Happening,
  newSale,
  type PaymentStatus,
  plan,
  type SagaState,
  type Timings,
} from './saga-state.ts';

const timings: Timings = {
  ...{ holdMarginMs: 60_000, orderWithinMs: 30_000, chargeGraceMs: 20_000, payWithinMs: 3_600_000 },
  ...{ firstPauseMs: 200, longestPauseMs: 30_000 },
};
const sale = {
  ...{ accountId: 7, currency: 'EUR', totalCents: 500, cartVersion: 'v1' },
  lines: [{ product_id: 1, name: 'A thing', unit_price_cents: 500, quantity: 1 }],
};

/** The others, as they are, and what of it they answer. */
class World {
  stock: 'free' | 'held' | 'sold' = 'free';
  heldUntilMs = 0;
  cart: 'full' | 'taken' = 'full';
  order: 'none' | 'placed' | 'paid' | 'cancelled' = 'none';
  money: 'none' | PaymentStatus = 'none';
  /** Does what it is told, and says what came of it. */
  do(
    command: Command,
    state: SagaState,
    nowMs: number,
    { luck, hasCard }: { luck: Luck; hasCard: boolean },
  ): Happening {
    const { reservation } = state;
    if (this.stock === 'held' && nowMs >= this.heldUntilMs) this.stock = 'free';
    switch (command) {
      case 'reserve':
        if (luck.short) return { kind: 'short', reservation, shortages: [{ productId: 1, wanted: 1, left: 0 }] };
        if (this.stock === 'free') this.heldUntilMs = nowMs + 120_000;
        this.stock = this.stock === 'free' ? 'held' : this.stock;
        return { kind: 'reserved', reservation, untilMs: this.heldUntilMs };
      case 'confirm stock':
        if (this.stock === 'free') return { kind: 'reservation gone', reservation };
        this.stock = 'sold';
        return { kind: 'stock sold', reservation };
      case 'release stock':
        if (this.stock === 'sold') return { kind: 'stock sold', reservation };
        this.stock = 'free';
        return { kind: 'stock back' };
      case 'give back stock':
        expect(this.stock).not.toBe('held');
        this.stock = 'free';
        return { kind: 'stock back' };
      case 'take cart':
        if (luck.cartChanged && this.cart === 'full') return { kind: 'cart changed' };
        this.cart = 'taken';
        return { kind: 'cart taken' };
      case 'return cart':
        this.cart = 'full';
        return { kind: 'cart returned' };
      case 'place order':
        this.order = 'placed';
        return { kind: 'order placed' };
      case 'pay order':
        if (this.order === 'cancelled') return { kind: 'order cancelled' };
        this.order = 'paid';
        return { kind: 'order paid' };
      case 'cancel order':
        expect(['placed', 'paid', 'cancelled']).toContain(state.order === 'none' ? 'nothing to cancel' : this.order);
        this.order = 'cancelled';
        return { kind: 'order cancelled' };
      case 'charge':
        if (hasCard && (this.money === 'none' || this.money === 'pending')) this.money = luck.money;
        else if (this.money === 'pending') this.money = luck.later;
        return this.saysMoney();
      case 'ask payment':
        if (this.money === 'cancelling') this.money = luck.later === 'settled' ? 'refunding' : 'failed';
        else if (this.money === 'refunding') this.money = 'refunded';
        return this.saysMoney();
      case 'cancel payment':
        if (this.money === 'pending') this.money = 'cancelling';
        if (this.money === 'settled') this.money = 'refunding';
        return this.saysMoney();
    }
  }
  saysMoney(): Happening {
    if (this.money === 'none') return { kind: 'no payment' };
    return { kind: 'payment', status: this.money, failureCode: this.money === 'failed' ? 'card_declined' : null };
  }
}

type Luck = { short: boolean; cartChanged: boolean; money: PaymentStatus; later: PaymentStatus };
const luck = fc.record<Luck>({
  short: fc.boolean(),
  cartChanged: fc.boolean(),
  money: fc.constantFrom('settled', 'settled', 'failed', 'pending'),
  later: fc.constantFrom('pending', 'settled', 'failed'),
});

/** What goes wrong at a step: nothing, the request is lost, its answer is, the answer is told twice, the process dies. */
const mishap = fc.record({
  kind: fc.constantFrom('none', 'none', 'request lost', 'answer lost', 'told twice', 'died before', 'died after'),
  cancels: fc.boolean(),
  luck,
  passesMs: fc.constantFrom(0, 1, 50, 5_000, 70_000, 130_000),
});

/** Runs a saga through mishaps, and then in peace until it ends; from the step `leavesAt` on its orders are another's. */
function run(
  mishaps: readonly { kind: string; cancels: boolean; luck: Luck; passesMs: number }[],
  start: SagaState,
  leavesAt = Number.POSITIVE_INFINITY,
) {
  const world = new World();
  if (start.reservation === 0)
    Object.assign(world, { stock: 'sold', cart: 'taken', order: start.order, money: 'pending' });
  let state = start;
  let nowMs = 1_000;
  let hasCard = start.reservation !== 0;
  const calm = {
    kind: 'none',
    cancels: false,
    luck: { short: false, cartChanged: false, money: 'settled', later: 'settled' },
    passesMs: 0,
  } as const;
  for (let step = 0; step < mishaps.length + 400; step += 1) {
    const { kind, cancels, luck: lot, passesMs } = mishaps[step] ?? calm;
    nowMs += passesMs;
    const isLeaving = step >= leavesAt;
    if (cancels && step % 3 === 2 && !isLeaving)
      state = after(state, { kind: 'cancel asked', why: 'customer', by: 7 }, nowMs, timings);
    const next = isLeaving ? planToLeave(state, nowMs, timings) : plan(state, nowMs, timings);
    if (next.kind === 'ended' || next.kind === 'left') {
      if (step >= mishaps.length || isLeaving) return { state, world, end: next.kind };
      continue;
    }
    if (next.kind === 'know') {
      state = after(state, next.happening, nowMs, timings);
      continue;
    }
    if (next.kind === 'wait') {
      expect(next.untilMs).toBeGreaterThan(nowMs);
      nowMs = Math.max(nowMs, next.untilMs);
      continue;
    }
    if (kind.startsWith('died')) hasCard = false;
    if (isLeaving) hasCard = false;
    if (!hasCard && state.goal === 'sell' && state.order === 'none') {
      state = after(state, { kind: 'card lost' }, nowMs, timings);
      continue;
    }
    if (kind === 'died before') continue;
    if (kind === 'request lost') {
      state = after(state, { kind: 'no answer' }, nowMs, timings);
      continue;
    }
    const local = ['place order', 'pay order', 'cancel order'].includes(next.command);
    expect(local && isLeaving).toBe(false);
    const told = world.do(next.command, state, nowMs, { luck: lot, hasCard });
    // What is done in the saga's own transaction is done with its step, or not at all.
    if (kind === 'died after' && !local) continue;
    if (kind === 'answer lost' && !local) {
      state = after(state, { kind: 'no answer' }, nowMs, timings);
      continue;
    }
    state = after(state, told, nowMs, timings);
    if (kind === 'told twice') {
      const again = after(state, told, nowMs, timings);
      if (told.kind !== 'payment' && told.kind !== 'no payment') expect(again).toEqual(state);
      state = again;
    }
  }
  throw new Error(`the saga does not end: ${JSON.stringify(state)}`);
}

describe('a saga', () => {
  test('ends whatever goes wrong on the way, and what it has done is then all done or all undone', () => {
    fc.assert(
      fc.property(fc.array(mishap, { maxLength: 40 }), fc.boolean(), (mishaps, isAdopted) => {
        const start = isAdopted ? adopted(sale, 'placed', 1_000) : newSale(sale, 1_000);
        const { state, world } = run(mishaps, start);
        const { stock, order, money, cart } = world;
        if (state.goal === 'sell') {
          expect({ stock, order, money, cart }).toEqual({
            stock: 'sold',
            order: 'paid',
            money: 'settled',
            cart: 'taken',
          });
          return;
        }
        expect(stock === 'free' || (stock === 'held' && state.stock !== 'held')).toBe(true);
        expect(['none', 'cancelled']).toContain(order);
        // No money stays: it failed, was never taken, or is back.
        expect(['none', 'failed', 'refunded']).toContain(money);
        expect(cart).toBe(order === 'none' ? 'full' : 'taken');
        expect(state.why).not.toBeNull();
      }),
      { numRuns: 2_000 },
    );
  });

  test('whose orders are another’s ends without a word to them: what was ordered has its stock, of anything else nothing is left', () => {
    fc.assert(
      fc.property(
        fc.array(mishap, { maxLength: 40 }),
        fc.boolean(),
        fc.nat({ max: 40 }),
        (mishaps, isAdopted, leavesAt) => {
          const start = isAdopted ? adopted(sale, 'placed', 1_000) : newSale(sale, 1_000);
          const { state, world, end } = run(mishaps, start, leavesAt);
          const { stock, order, cart } = world;
          if (order === 'none') {
            expect(end).toBe('ended');
            expect(stock === 'free' || (stock === 'held' && state.stock !== 'held')).toBe(true);
            expect(cart).toBe('full');
          } else if (order === 'cancelled') {
            expect(end).toBe('ended');
            expect(stock).not.toBe('sold');
          } else {
            expect(end).toBe(order === 'paid' && state.goal === 'sell' ? 'ended' : 'left');
            expect(stock === 'sold' || state.stock === 'short').toBe(true);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('that was to be undone, and is left, sees to it that the order which stands has its stock', () => {
    const told: Happening[] = [
      { kind: 'reserved', reservation: 1, untilMs: 60_000 },
      { kind: 'cart taken' },
      { kind: 'order placed' },
      { kind: 'payment', status: 'failed', failureCode: 'card_declined' },
    ];
    let state = told.reduce((known, one) => after(known, one, 10, timings), newSale(sale, 0));
    expect(plan(state, 10, timings)).toEqual({ kind: 'do', command: 'cancel order' });
    expect(planToLeave(state, 10, timings)).toEqual({ kind: 'know', happening: { kind: 'order stands' } });
    state = after(state, { kind: 'order stands' }, 10, timings);
    expect(planToLeave(state, 10, timings)).toEqual({ kind: 'do', command: 'confirm stock' });
    // Its hold has ended meanwhile: it is taken anew.
    state = after(state, { kind: 'reservation gone', reservation: 1 }, 70_000, timings);
    expect(planToLeave(state, 70_000, timings)).toEqual({ kind: 'do', command: 'reserve' });
    state = after(state, { kind: 'reserved', reservation: 2, untilMs: 200_000 }, 70_000, timings);
    state = after(state, { kind: 'stock sold', reservation: 2 }, 70_000, timings);
    expect(planToLeave(state, 70_000, timings)).toEqual({ kind: 'left' });
  });

  const happenings: Happening[] = [
    ...([
      { kind: 'reserved', reservation: 1, untilMs: 200_000 },
      { kind: 'reservation gone', reservation: 1 },
      { kind: 'short', reservation: 1, shortages: [] },
      { kind: 'stock sold', reservation: 1 },
      { kind: 'stock back' },
      { kind: 'cart taken' },
      { kind: 'cart changed' },
      { kind: 'cart returned' },
      { kind: 'order placed' },
      { kind: 'order paid' },
      { kind: 'order cancelled' },
      { kind: 'cancel asked', why: 'customer', by: 7 },
    ] as const satisfies Happening[]),
    ...(['settled', 'failed', 'refunded'] as const).map(
      (status): Happening => ({ kind: 'payment', status, failureCode: null }),
    ),
  ];

  test('is not changed by anything that it is told again', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...happenings), { minLength: 1, maxLength: 25 }), (told) => {
        let state = newSale(sale, 0);
        for (const one of told) {
          state = after(state, one, 10, timings);
          expect(after(state, one, 10, timings)).toEqual(state);
        }
      }),
    );
  });

  test('undoes nothing that it did not ask for', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...happenings), { maxLength: 25 }), (told) => {
        const state = told.reduce((known, one) => after(known, one, 10, timings), newSale(sale, 0));
        const next = plan(state, 1_000_000, timings);
        if (next.kind !== 'do') return;
        const needs: Partial<Record<Command, boolean>> = {
          'release stock': state.stock === 'asked' || state.stock === 'held',
          'give back stock': state.stock === 'sold',
          'return cart': state.cart === 'asked' || state.cart === 'taken',
          'cancel order': state.order === 'placed' || state.order === 'paid',
          'cancel payment': state.payment !== 'none' && state.payment !== 'returned' && state.payment !== 'failed',
        };
        expect(needs[next.command] ?? true).toBe(true);
      }),
    );
  });

  test('whose undoing was left to others asks nobody for anything any more, whatever it still hears', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...happenings), { maxLength: 15 }),
        fc.array(fc.constantFrom(...happenings), { maxLength: 15 }),
        (before, later) => {
          const told: Happening[] = [{ kind: 'order placed' }, ...before, { kind: 'order cancelled' }];
          let state = told.reduce((known, one) => after(known, one, 10, timings), newSale(sale, 0));
          state = after(state, { kind: 'left to others' }, 10, timings);
          for (const one of later) {
            state = after(state, one, 20, timings);
            expect(plan(state, 1_000_000, timings)).toEqual({ kind: 'ended' });
            expect(planToLeave(state, 1_000_000, timings)).toEqual({ kind: 'ended' });
          }
          expect([state.goal, state.order]).toEqual(['undo', 'cancelled']);
        },
      ),
    );
    // An order that stands is nobody else's to undo.
    const standing = after(newSale(sale, 0), { kind: 'order placed' }, 10, timings);
    expect(after(standing, { kind: 'left to others' }, 10, timings)).toEqual(standing);
  });

  const placed: SagaState = {
    ...newSale(sale, 0),
    stock: 'held',
    heldUntilMs: 900_000,
    cart: 'taken',
    order: 'placed',
    payment: 'asked',
    askedMs: 0,
  };

  test('does not believe that nobody was charged before a charge can no longer be on its way', () => {
    const early = after(placed, { kind: 'no payment' }, timings.chargeGraceMs - 1, timings);
    expect([early.goal, early.payment]).toEqual(['sell', 'asked']);
    const late = after(placed, { kind: 'no payment' }, timings.chargeGraceMs, timings);
    expect([late.goal, late.why, late.payment]).toEqual(['undo', 'payment_not_made', 'absent']);
    // And where it was on its way all the same, the money goes back.
    const ended = after(
      { ...late, order: 'cancelled', stock: 'back' },
      { kind: 'payment', status: 'settled', failureCode: null },
      1_000_000,
      timings,
    );
    expect(plan(ended, 1_000_000, timings)).toEqual({ kind: 'do', command: 'cancel payment' });
  });

  test('sells what it holds to its order before the hold ends, when the payment is not decided by then', () => {
    const waiting = after(placed, { kind: 'payment', status: 'pending', failureCode: null }, 839_999, timings);
    expect(plan(waiting, waiting.notBeforeMs - 1, timings)).toEqual({ kind: 'wait', untilMs: waiting.notBeforeMs });
    expect(plan(waiting, waiting.notBeforeMs, timings)).toEqual({ kind: 'do', command: 'confirm stock' });
  });

  test('asks again, and gives the order up, money and all, when the payment is not decided in time', () => {
    let state: SagaState = { ...placed, stock: 'sold', heldUntilMs: null };
    let nowMs = 0;
    let asked = 0;
    while (state.goal === 'sell') {
      const next = plan(state, nowMs, timings);
      if (next.kind === 'wait') nowMs = next.untilMs;
      else {
        asked += 1;
        state = after(state, { kind: 'payment', status: 'pending', failureCode: null }, nowMs, timings);
      }
    }
    expect(nowMs).toBeGreaterThanOrEqual(timings.payWithinMs);
    expect(asked).toBeGreaterThan(10);
    expect(state.why).toBe('payment_unknown');
  });
});
