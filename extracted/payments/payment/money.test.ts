import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  askRefund,
  hear,
  isOpen,
  leftCents,
  type Money,
  oweRest,
  refundDone,
  refundedCents,
  refundRefused,
} from './money.ts';
import { paymentNews } from './payment-state.ts';

const amountCents = 1_000;
const fresh: Money = { reference: 'pay_1', amountCents, status: 'pending', refunds: [] };
const settled: Money = { ...fresh, status: 'settled' };

type Step = (money: Money) => Money;

/** What can happen to a payment, in any order and any number of times. */
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.constantFrom(...paymentNews).map(
    (news): Step =>
      (money) =>
        hear(money, news),
  ),
  fc
    .record({
      reference: fc.constantFrom('re_a', 're_b', 're_c', 're_d'),
      cents: fc.option(fc.integer({ min: -5, max: 1_500 }), { nil: undefined }),
    })
    .map(
      ({ reference, cents }): Step =>
        (money) => {
          const decision = askRefund(money, reference, cents);
          return decision.kind === 'refund' ? decision.money : money;
        },
    ),
  fc.nat({ max: 5 }).map(
    (at): Step =>
      (money) =>
        refundDone(money, money.refunds[at]?.reference ?? 'none'),
  ),
  fc.nat({ max: 5 }).map(
    (at): Step =>
      (money) =>
        refundRefused(money, money.refunds[at]?.reference ?? 'none'),
  ),
);

const after = (start: Money, steps: readonly Step[]) => steps.reduce((money, step) => step(money), start);

test('never more is given back or promised than was taken, whatever happens in whatever order', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 40 }), (steps) => {
      let money = fresh;
      for (const step of steps) {
        money = step(money);
        expect(leftCents(money)).toBeGreaterThanOrEqual(0);
        expect(refundedCents(money)).toBeLessThanOrEqual(amountCents);
        for (const refund of money.refunds) expect(refund.amountCents).toBeGreaterThan(0);
        expect(new Set(money.refunds.map(({ reference }) => reference)).size).toBe(money.refunds.length);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a payment is refunded exactly where all of it is back, and nothing of it is open then', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 40 }), (steps) => {
      const money = after(fresh, steps);
      expect(money.status === 'refunded').toBe(refundedCents(money) === amountCents);
      if (money.status === 'refunded') expect(isOpen(money)).toBe(false);
    }),
    { numRuns: 2_000 },
  );
});

test('what was given back is never taken back', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 20 }), fc.array(anyStep, { maxLength: 20 }), (first, second) => {
      const before = after(fresh, first);
      expect(refundedCents(after(before, second))).toBeGreaterThanOrEqual(refundedCents(before));
    }),
    { numRuns: 1_000 },
  );
});

test('an owed payment whose refunds are all answered ends refunded', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 20 }), (steps) => {
      const owed = hear(after(settled, steps), 'order_cancelled');
      const paid = owed.refunds.reduce((money, { reference }) => refundDone(money, reference), owed);
      expect(['refunded', 'failed']).toContain(paid.status);
    }),
  );
});

test('a refund of all that is left makes the payment owed, and its end makes it refunded', () => {
  const first = askRefund(settled, 're_a', 300);
  if (first.kind !== 'refund') throw new Error(first.kind);
  expect(first.money.status).toBe('settled');
  const rest = askRefund(first.money, 're_b', undefined);
  if (rest.kind !== 'refund') throw new Error(rest.kind);
  expect(rest.refund.amountCents).toBe(700);
  expect(rest.money.status).toBe('refunding');
  expect(refundDone(refundDone(rest.money, 're_b'), 're_a').status).toBe('refunded');
});

test.each([
  ['more than is left', 1_001, { kind: 'too_much', leftCents: 1_000 }],
  ['nothing', 0, { kind: 'too_much', leftCents: 1_000 }],
])('%s is refused', (_name, cents, decision) => {
  expect(askRefund(settled, 're_a', cents)).toEqual(decision);
});

test('a reference is good for one amount', () => {
  const asked = askRefund(settled, 're_a', 300);
  if (asked.kind !== 'refund') throw new Error(asked.kind);
  expect(askRefund(asked.money, 're_a', 300)).toMatchObject({ kind: 'known' });
  expect(askRefund(asked.money, 're_a', 400)).toMatchObject({ kind: 'other_amount' });
});

test.each(['pending', 'failed', 'cancelling', 'refunding', 'refunded'] as const)(
  'nothing can be asked back of a payment that is %s',
  (status) => {
    expect(askRefund({ ...fresh, status }, 're_a', 1)).toEqual({ kind: 'not_refundable', status });
  },
);

test('a refused refund frees what it held, unless the money is owed', () => {
  const asked = askRefund(settled, 're_a', 300);
  if (asked.kind !== 'refund') throw new Error(asked.kind);
  expect(leftCents(refundRefused(asked.money, 're_a'))).toBe(1_000);
  const owed = hear(asked.money, 'order_cancelled');
  expect(refundRefused(owed, 're_a')).toEqual(owed);
});

test('a payment that came here owed and without a refund gets one, once', () => {
  const owed = oweRest({ ...fresh, status: 'refunding' });
  expect(owed.refunds).toEqual([{ reference: 'refund-pay_1', amountCents, status: 'requested' }]);
  expect(oweRest(owed)).toBe(owed);
});
