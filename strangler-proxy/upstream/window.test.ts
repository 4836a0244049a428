import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { countOutcomes, emptyWindow, failsTooOften, recordOutcome } from './window.ts';

const widthMs = 1_000;
const steps = fc.array(fc.record({ waitMs: fc.integer({ min: 0, max: 900 }), failed: fc.boolean() }), {
  maxLength: 60,
});

test('the window counts just the outcomes of the half being filled and the half before it', () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 0, max: 2_500 }), (recorded, waitMs) => {
      let nowMs = 0;
      let window = emptyWindow(nowMs, widthMs);
      const log: { atMs: number; failed: boolean }[] = [];
      for (const step of recorded) {
        nowMs += step.waitMs;
        window = recordOutcome(window, step.failed ? 'failure' : 'success', nowMs, widthMs);
        log.push({ atMs: nowMs, failed: step.failed });
      }
      nowMs += waitMs;
      const sinceMs = (Math.floor((nowMs * 2) / widthMs) - 1) * (widthMs / 2);
      const counted = log.filter(({ atMs }) => atMs >= sinceMs);
      expect(countOutcomes(window, nowMs, widthMs)).toEqual({
        total: counted.length,
        failures: counted.filter(({ failed }) => failed).length,
      });
    }),
    { numRuns: 2_000 },
  );
});

test('nothing older than the width is counted, and nothing younger than half of it is missed', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10_000 }), fc.integer({ min: 0, max: 3_000 }), (atMs, ageMs) => {
      const window = recordOutcome(emptyWindow(atMs, widthMs), 'failure', atMs, widthMs);
      const { total } = countOutcomes(window, atMs + ageMs, widthMs);
      if (ageMs >= widthMs) expect(total).toBe(0);
      if (ageMs < widthMs / 2) expect(total).toBe(1);
    }),
    { numRuns: 2_000 },
  );
});

test('a share of failures is not judged below the minimum volume', () => {
  const policy = { windowMs: widthMs, minimumVolume: 4, failureShare: 0.5 };
  let window = emptyWindow(0, widthMs);
  for (let i = 0; i < 3; i += 1) window = recordOutcome(window, 'failure', 0, widthMs);
  expect(failsTooOften(window, 0, policy)).toBe(false);
  expect(failsTooOften(recordOutcome(window, 'success', 0, widthMs), 0, policy)).toBe(true);
});

test('a clock that goes back loses no outcome', () => {
  const window = recordOutcome(emptyWindow(5_000, widthMs), 'failure', 3_000, widthMs);
  expect(countOutcomes(window, 5_000, widthMs)).toEqual({ total: 1, failures: 1 });
});
