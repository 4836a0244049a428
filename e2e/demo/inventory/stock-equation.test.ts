import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { brokenEquations, type StockFigures } from './stock-equation.ts';

const before: StockFigures = { available: 50, held: 0, sold: 3, adjusted: 0, deltas: 50 };
const one = (figures: StockFigures) => new Map([[7, figures]]);

/** What may happen to a product, and what it leaves behind. */
const happenings: Record<string, (stock: StockFigures, n: number) => StockFigures> = {
  sell: (s, n) => ({ ...s, available: s.available - n, sold: s.sold + n, deltas: s.deltas - n }),
  reserve: (s, n) => ({ ...s, available: s.available - n, held: s.held + n, deltas: s.deltas - n }),
  confirm: (s) => ({ ...s, held: 0, sold: s.sold + s.held }),
  release: (s) => ({ ...s, held: 0, available: s.available + s.held, deltas: s.deltas + s.held }),
  adjust: (s, n) => ({ ...s, available: s.available + n, adjusted: s.adjusted + n, deltas: s.deltas + n }),
};

test('whatever happens to stock adds up, and what is lost or sold twice does not', () => {
  const story = fc.array(fc.tuple(fc.constantFrom(...Object.keys(happenings)), fc.integer({ min: 1, max: 5 })));
  fc.assert(
    fc.property(story, fc.integer({ min: 1, max: 5 }), (steps, lost) => {
      const now = steps.reduce((stock, [name, n]) => happenings[name]!(stock, n), before);
      expect(brokenEquations(one(before), one(now))).toEqual([]);
      const oversold = { ...now, sold: now.sold + lost };
      expect(brokenEquations(one(before), one(oversold))).toMatchObject([{ productId: 7, what: 'stock' }]);
      const unexplained = { ...now, available: now.available - lost, held: now.held + lost };
      expect(brokenEquations(one(before), one(unexplained))).toMatchObject([{ productId: 7, what: 'changes' }]);
    }),
  );
});
