import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { accountFor, type Happening } from './account-for.ts';

const happening: fc.Arbitrary<Happening> = fc.record({
  accountId: fc.integer({ min: 1, max: 3 }),
  orderId: fc.integer({ min: 1, max: 3 }),
  kind: fc.constantFrom('order_placed', 'payment_settled'),
});

test('each told once, in any order, is accounted for; one lost, told again or made up is found', () => {
  fc.assert(
    fc.property(fc.array(happening, { minLength: 1, maxLength: 20 }), fc.nat(), (expected, at) => {
      const nothing = { missing: [], doubled: [], strange: [] };
      expect(accountFor(expected, [...expected].reverse())).toEqual(nothing);
      const one = expected[at % expected.length]!;
      const lost = expected.filter((_, index) => index !== at % expected.length);
      expect(accountFor(expected, lost)).toEqual({ ...nothing, missing: [one] });
      expect(accountFor(expected, [...expected, one])).toEqual({ ...nothing, doubled: [one] });
      const madeUp = { ...one, orderId: 99 };
      expect(accountFor(expected, [...expected, madeUp])).toEqual({ ...nothing, strange: [madeUp] });
    }),
  );
});
