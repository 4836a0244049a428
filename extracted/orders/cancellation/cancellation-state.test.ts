import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type Answer,
  asked,
  type CancellationState,
  hear,
  isHeard,
  isOver,
  paymentAnswers,
  stockAnswers,
} from './cancellation-state.ts';

const answer = fc.oneof(
  fc.constantFrom(...stockAnswers.slice(1)).map((outcome) => ({ of: 'stock', outcome }) as Answer),
  fc.constantFrom(...paymentAnswers.slice(1)).map((status) => ({ of: 'payment', status }) as Answer),
);
const all = (answers: readonly Answer[]): CancellationState => answers.reduce(hear, asked);

describe('what is heard of a cancellation', () => {
  test('comes to the same in whatever order, and however often, it is said', () => {
    const said = fc.array(answer, { maxLength: 8 }).chain((once) =>
      fc.record({
        once: fc.constant(once),
        // Every answer at least once, some again, in another order.
        again: fc
          .shuffledSubarray(once)
          .chain((some) => fc.shuffledSubarray([...once, ...some], { minLength: once.length + some.length })),
      }),
    );
    fc.assert(fc.property(said, ({ once, again }) => expect(all(again)).toEqual(all(once))));
  });

  test('is over for good: whatever comes after that, nothing is waited for again', () => {
    fc.assert(
      fc.property(fc.array(answer), fc.array(answer), (before, after) => {
        const then = all(before);
        fc.pre(isOver(then));
        expect(isHeard(then)).toBe(true);
        expect(isOver(after.reduce(hear, then))).toBe(true);
      }),
    );
  });

  test('is over only when both have answered, and no money is on its way', () => {
    expect(isOver(all([{ of: 'payment', status: 'refunded' }]))).toBe(false);
    expect(isOver(all([{ of: 'stock', outcome: 'returned' }]))).toBe(false);
    for (const status of ['cancelling', 'refunding'] as const) {
      const state = all([
        { of: 'stock', outcome: 'returned' },
        { of: 'payment', status },
      ]);
      expect([isHeard(state), isOver(state)]).toEqual([true, false]);
    }
  });
});
