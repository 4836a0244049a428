import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { inLockOrder, sameLines, shortagesOf } from './take.ts';

const lines = fc.uniqueArray(
  fc.record({ productId: fc.integer({ min: 1, max: 30 }), quantity: fc.integer({ min: 1, max: 9 }) }),
  { selector: ({ productId }) => productId, minLength: 1, maxLength: 10 },
);
const levels = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 30 }), fc.nat(9)))
  .map((entries) => new Map<number, number>(entries));

test('what is short is named in full: taking is possible exactly when nothing is', () => {
  fc.assert(
    fc.property(lines, levels, (wanted, available) => {
      const short = shortagesOf(wanted, available);
      for (const { productId, quantity } of wanted) {
        const left = (available.get(productId) ?? 0) - quantity;
        expect(short.some((one) => one.productId === productId)).toBe(left < 0);
      }
    }),
  );
});

test('lines are the same in whatever order, and others where a quantity or a product differs', () => {
  fc.assert(
    fc.property(lines, fc.nat(9), (wanted, at) => {
      expect(sameLines(wanted, wanted.toReversed())).toBe(true);
      expect(inLockOrder(wanted.toReversed())).toEqual(inLockOrder(wanted));
      const other = wanted.map((line, n) => (n === at % wanted.length ? { ...line, quantity: 10 } : line));
      expect(sameLines(wanted, other)).toBe(false);
      expect(sameLines(wanted, wanted.slice(1))).toBe(false);
    }),
  );
});
