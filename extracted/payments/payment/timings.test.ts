import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { waitMs } from './timings.ts';

const timings = { firstCheckMs: 1_000, longestCheckMs: 60_000, leaseMs: 500, abandonAfterMs: 1 };

test('waits double up to the longest', () => {
  expect([0, 1, 2, 5, 6, 100].map((checks) => waitMs(checks, timings))).toEqual([
    1_000, 2_000, 4_000, 32_000, 60_000, 60_000,
  ]);
});

test('no wait is shorter than the lease or the one before it', () => {
  fc.assert(
    fc.property(fc.nat({ max: 200 }), fc.nat({ max: 100_000 }), (checks, leaseMs) => {
      const wait = waitMs(checks, { ...timings, leaseMs });
      expect(wait).toBeGreaterThanOrEqual(leaseMs);
      expect(waitMs(checks + 1, { ...timings, leaseMs })).toBeGreaterThanOrEqual(wait);
    }),
  );
});
