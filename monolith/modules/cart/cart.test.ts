import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { availabilityOf } from './cart.ts';

const count = fc.nat({ max: 99 });

describe('the availability of a cart line', () => {
  test('a product that is no longer sold is withdrawn, whatever is left of it', () => {
    fc.assert(
      fc.property(count, count, (left, wanted) => {
        expect(availabilityOf({ sold: false, left, wanted })).toBe('withdrawn');
      }),
    );
  });

  test('a line is available while nobody knows what is left, unless the product is withdrawn', () => {
    expect(availabilityOf({ sold: true, left: 'unknown', wanted: 99 })).toBe('available');
    expect(availabilityOf({ sold: false, left: 'unknown', wanted: 1 })).toBe('withdrawn');
  });

  test('a line is available exactly when all of it is left', () => {
    fc.assert(
      fc.property(count, fc.integer({ min: 1, max: 99 }), (left, wanted) => {
        const availability = availabilityOf({ sold: true, left, wanted });
        expect(availability === 'available').toBe(left >= wanted);
        expect(availability === 'sold_out').toBe(left === 0);
      }),
    );
  });
});
