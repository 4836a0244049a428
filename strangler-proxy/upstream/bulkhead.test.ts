import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { emptyBulkhead, enterBulkhead, isFull, leaveBulkhead } from './bulkhead.ts';

test('through any coming and going there are never fewer than none inside, nor more than the bound', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.array(fc.boolean(), { maxLength: 100 }), (bound, steps) => {
      let bulkhead = emptyBulkhead(bound);
      let inside = 0;
      for (const entering of steps) {
        if (entering && isFull(bulkhead)) {
          expect(inside).toBe(bound);
          expect(() => enterBulkhead(bulkhead)).toThrow(RangeError);
        } else if (entering) {
          bulkhead = enterBulkhead(bulkhead);
          inside += 1;
        } else if (inside === 0) {
          expect(() => leaveBulkhead(bulkhead)).toThrow(/let out twice/);
        } else {
          bulkhead = leaveBulkhead(bulkhead);
          inside -= 1;
        }
        expect(bulkhead.inFlight).toBe(inside);
      }
    }),
    { numRuns: 1_000 },
  );
});

test.each([0, -1, 1.5, Number.NaN])('a bound of %p is refused, since nothing could pass', (bound) => {
  expect(() => emptyBulkhead(bound)).toThrow(/at least 1/);
});
