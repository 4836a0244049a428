import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createTally, percentile } from './tally.ts';
import type { Visit } from './visitor.ts';

const visit = (over: Partial<Visit> = {}): Visit => ({
  shopper: 'a',
  action: 'product',
  access: 'read',
  side: 'monolith',
  reason: 'percentage',
  status: 200,
  failure: null,
  cutOff: false,
  startedAtMs: performance.timeOrigin + performance.now(),
  durationMs: 1,
  ...over,
});

describe('the tally', () => {
  test('counts requests, failures and sides', () => {
    const keeper = createTally();
    keeper.add(visit());
    keeper.add(visit({ side: 'service', access: 'write', reason: 'write-owner' }));
    keeper.add(visit({ side: null, status: 500, failure: 'status 500' }));
    expect(keeper.tally()).toMatchObject({
      total: 3,
      failed: 1,
      reads: 2,
      writes: 1,
      servedBy: { monolith: 1, service: 1 },
      stickyMoved: 0,
    });
    expect(keeper.tally().failures).toMatchObject([{ action: 'product', failure: 'status 500' }]);
  });

  test('finds a shopper who was moved back while the percentage rose', () => {
    const keeper = createTally();
    keeper.flipBegins('rises');
    keeper.flipSettled();
    keeper.add(visit({ side: 'service' }));
    keeper.add(visit({ side: 'monolith' }));
    expect(keeper.tally().stickyMoved).toBe(1);
  });

  test('does not take for moved who was let go, answered by the fall-back, or asked while the flip was under way', () => {
    const keeper = createTally();
    keeper.flipBegins('rises');
    keeper.flipSettled();
    keeper.add(visit({ side: 'service' }));
    keeper.add(visit({ side: 'monolith', reason: 'fallback' }));
    keeper.flipBegins('rises');
    keeper.add(visit({ side: 'monolith' }));
    const early = visit({ side: 'monolith', startedAtMs: performance.timeOrigin + performance.now() - 1000 });
    keeper.flipSettled();
    keeper.add(early);
    keeper.flipBegins('falls');
    keeper.flipSettled();
    keeper.add(visit({ side: 'monolith' }));
    expect(keeper.tally().stickyMoved).toBe(0);
  });
});

test('a percentile is the smallest value that the share of all values does not exceed', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (values, share) => {
        const value = percentile(values, share);
        expect(values.filter((one) => one <= value).length).toBeGreaterThanOrEqual(share * values.length - 1e-9);
        expect(values).toContain(value);
      },
    ),
  );
  expect(percentile([], 0.5)).toBe(0);
});
