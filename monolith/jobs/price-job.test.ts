import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { msUntil } from './price-job.ts';

const DAY_MS = 86_400_000;

describe('the schedule of the price job', () => {
  test('the next run is within a day, and at the very minute', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('2020-01-01'), max: new Date('2040-01-01'), noInvalidDate: true }),
        fc.integer({ min: 0, max: 23 }),
        fc.integer({ min: 0, max: 59 }),
        (now, hours, minutes) => {
          const at = `${String(hours).padStart(2, '0')}:${String(minutes).padStart(2, '0')}`;
          const waitMs = msUntil(at, now);
          expect(waitMs).toBeGreaterThan(0);
          expect(waitMs).toBeLessThanOrEqual(DAY_MS);
          expect(new Date(now.getTime() + waitMs).toISOString().slice(11)).toBe(`${at}:00.000Z`);
        },
      ),
    );
  });
});
