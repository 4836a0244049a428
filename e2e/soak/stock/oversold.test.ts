import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { StockFigures } from '../../demo/inventory/stock-equation.ts';
import { oversoldProducts } from './oversold.ts';

const figures: StockFigures = { available: 4, held: 0, sold: 3, adjusted: 10, deltas: 4 };
const one = (more: Partial<StockFigures>) => new Map([[7, { ...figures, ...more }]]);

test('as much may be sold as there was and was put in, and no piece more', () => {
  const counts = fc.record({
    there: fc.nat({ max: 50 }),
    putIn: fc.nat({ max: 50 }),
    sold: fc.nat({ max: 120 }),
    held: fc.nat({ max: 5 }),
  });
  fc.assert(
    fc.property(counts, ({ there, putIn, sold, held }) => {
      const before = one({ available: there });
      const now = one({ available: 0, sold: 3 + sold, held, adjusted: 10 + putIn });
      expect(oversoldProducts(before, now)).toEqual(sold + held > there + putIn ? [7] : []);
    }),
  );
});

test('a level below zero, or sold without ever having been there, is oversold', () => {
  expect(oversoldProducts(one({}), one({ available: -1 }))).toEqual([7]);
  const never = { available: 0, held: 0, sold: 1, adjusted: 0, deltas: 0 };
  expect(oversoldProducts(new Map(), new Map([[9, never]]))).toEqual([9]);
});
