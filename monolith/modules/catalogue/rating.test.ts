import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Rating, ratingAverage, withoutReview, withReview } from './rating.ts';

const stars = fc.integer({ min: 1, max: 5 });
const none: Rating = { sum: 0, count: 0 };

describe('ratings', () => {
  test('the average is within half a hundredth of the mean, and has two decimals', () => {
    fc.assert(
      fc.property(fc.array(stars, { minLength: 1 }), (all) => {
        const average = ratingAverage(all.reduce(withReview, none));
        const mean = all.reduce((sum, each) => sum + each, 0) / all.length;
        expect(Math.abs(average - mean)).toBeLessThanOrEqual(0.005 + 1e-9);
        expect(average).toBe(Number(average.toFixed(2)));
      }),
    );
  });

  test('a half is rounded up', () => {
    expect(ratingAverage({ sum: 9, count: 8 })).toBe(1.13);
  });

  test('removing what was added, in any order, leaves no rating', () => {
    fc.assert(
      fc.property(
        fc.array(stars).chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))),
        ([added, removed]) => {
          expect(removed.reduce(withoutReview, added.reduce(withReview, none))).toEqual(none);
        },
      ),
    );
    expect(ratingAverage(none)).toBe(0);
  });
});
