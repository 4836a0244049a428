import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createLocalWindow } from './local-window.ts';
import { createRedisCircuit } from './redis-circuit.ts';
import { type Count, countAt, type Quota, standingOf } from './sliding-window.ts';
import { countedAddress } from './subject.ts';

const quotas = fc.record({
  limit: fc.integer({ min: 1, max: 200 }),
  windowMs: fc.integer({ min: 1_000, max: 100_000 }),
});
const counted = quotas.chain((quota) =>
  fc.record({
    quota: fc.constant(quota),
    count: fc.record({
      previous: fc.integer({ min: 0, max: quota.limit }),
      current: fc.integer({ min: 0, max: quota.limit }),
      elapsedMs: fc.integer({ min: 0, max: quota.windowMs - 1 }),
    }),
  }),
);
const later = ({ windowMs }: Quota, { previous, current, elapsedMs }: Count, ms: number): Count =>
  countAt({ window: 7, previous, current }, windowMs, 7 * windowMs + elapsedMs + ms);

describe('the sliding window', () => {
  test('lets a whole limit pass at once where nothing came before, and not one more', () => {
    fc.assert(
      fc.property(quotas, fc.integer({ min: 0, max: 1_000_000 }), (quota, nowMs) => {
        const take = createLocalWindow(10);
        const passed = () => standingOf(quota, take('one', quota, nowMs)).allowed;
        for (let n = 0; n < quota.limit; n += 1) expect(passed()).toBe(true);
        expect(passed()).toBe(false);
        expect(standingOf(quota, take('other', quota, nowMs)).allowed).toBe(true);
      }),
    );
  });

  test('never lets more than the limit pass within one of its windows, nor twice it within any stretch as long', () => {
    fc.assert(
      fc.property(quotas, fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 300 }), (quota, gaps) => {
        const take = createLocalWindow(10);
        const passed: number[] = [];
        let nowMs = 0;
        for (const gap of gaps) {
          nowMs += gap;
          if (standingOf(quota, take('one', quota, nowMs)).allowed) passed.push(nowMs);
        }
        for (const start of passed) {
          const aligned = passed.filter((at) => Math.floor(at / quota.windowMs) === Math.floor(start / quota.windowMs));
          expect(aligned.length).toBeLessThanOrEqual(quota.limit);
          const any = passed.filter((at) => at >= start && at < start + quota.windowMs);
          expect(any.length).toBeLessThan(2 * quota.limit);
        }
      }),
    );
  });

  test('tells whoever is refused when to come again: then one passes, and a little before that none does', () => {
    fc.assert(
      fc.property(counted, ({ quota, count }) => {
        const { allowed, resetMs, remaining } = standingOf(quota, count);
        fc.pre(!allowed);
        expect(remaining).toBe(0);
        expect(standingOf(quota, later(quota, count, resetMs)).allowed).toBe(true);
        // Rounded up to whole milliseconds.
        if (resetMs > 2) expect(standingOf(quota, later(quota, count, resetMs - 2)).allowed).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  test('tells whoever passes how many more may pass now', () => {
    fc.assert(
      fc.property(counted, ({ quota, count }) => {
        const { allowed, remaining } = standingOf(quota, count);
        fc.pre(allowed);
        const after = (more: number) => ({ ...count, current: count.current + 1 + more });
        if (remaining > 0) expect(standingOf(quota, after(remaining - 1)).allowed).toBe(true);
        expect(standingOf(quota, after(remaining)).allowed).toBe(false);
      }),
    );
  });

  test('forgets whom it has not seen for longest, and keeps so many', () => {
    const take = createLocalWindow(2);
    const quota = { limit: 5, windowMs: 1_000 };
    for (const who of ['a', 'b', 'a', 'c']) take(who, quota, 0);
    expect(take('a', quota, 0).current).toBe(2);
    expect(take('b', quota, 0).current).toBe(0);
  });
});

test('a Redis that does not answer is left alone for a while, and then tried by one request at a time', () => {
  const circuit = createRedisCircuit(1_000);
  expect([circuit.mayAsk(0), circuit.mayAsk(0)]).toEqual([true, true]);
  circuit.missed(0);
  expect([circuit.mayAsk(999), circuit.mayAsk(1_000), circuit.mayAsk(1_001)]).toEqual([false, true, false]);
  circuit.missed(1_002);
  expect([circuit.mayAsk(2_001), circuit.mayAsk(2_002)]).toEqual([false, true]);
  circuit.answered();
  expect([circuit.mayAsk(2_003), circuit.mayAsk(2_003)]).toEqual([true, true]);
});

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:1:2::', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
])('the address %s is counted as %s', (address, as) => {
  expect(countedAddress(address)).toBe(as);
});
