import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createBudget } from './budget.ts';

describe('a budget', () => {
  test('never lets through more than the burst and what has been filled since, and never less than the burst at first', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 100 }),
        fc.array(fc.integer({ min: 0, max: 500 }), { maxLength: 200 }),
        (burst, perSecond, stepsMs) => {
          const budget = createBudget({ burst, perSecond }, 0);
          let nowMs = 0;
          let spent = 0;
          let refused = false;
          for (const stepMs of stepsMs) {
            nowMs += stepMs;
            if (budget.spend(nowMs)) spent += 1;
            else refused = true;
            expect(spent).toBeLessThanOrEqual(burst + (nowMs / 1_000) * perSecond + 1e-6);
            if (refused) expect(spent).toBeGreaterThanOrEqual(burst);
          }
        },
      ),
    );
  });
});
