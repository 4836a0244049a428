import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { addToRate, defaultChunkLimits, etaMs, nextChunkRows, noRate } from './pace.ts';

const limits = defaultChunkLimits;
const chunk = fc.record({
  rows: fc.integer({ min: 1, max: 5000 }),
  bytes: fc.integer({ min: 1, max: 2 ** 31 }),
  tookMs: fc.double({ min: 0, max: 60_000, noNaN: true }),
});

test('a chunk is never empty, never above its bounds, and never more than four times the last one', () => {
  fc.assert(
    fc.property(chunk, (last) => {
      const rows = nextChunkRows(last, limits);
      expect(Number.isInteger(rows)).toBe(true);
      expect(rows).toBeGreaterThanOrEqual(1);
      expect(rows).toBeLessThanOrEqual(Math.min(limits.maxRows, Math.max(limits.minRows, last.rows * 4)));
      const bytes = (last.bytes / last.rows) * rows;
      expect(rows === 1 || bytes <= limits.maxBytes * 1.0001).toBe(true);
    }),
  );
});

test('chunks settle where one takes the time of the goal', () => {
  const rowsPerMs = 5;
  let last = { rows: limits.minRows, bytes: 100, tookMs: limits.minRows / rowsPerMs };
  for (let turn = 0; turn < 10; turn += 1) {
    const rows = nextChunkRows(last, limits);
    last = { rows, bytes: rows * 10, tookMs: rows / rowsPerMs };
  }
  expect(last.rows).toBe(limits.goalMs * rowsPerMs);
});

test('the first chunk is small: nothing is known of the rows', () => {
  expect(nextChunkRows(null, limits)).toBe(limits.minRows);
});

test('a steady rate is told as it is, and what it will take from it', () => {
  let rate = noRate;
  for (let turn = 0; turn < 50; turn += 1) rate = addToRate(rate, 200, 100);
  expect(rate.perSecond).toBeCloseTo(2000, 5);
  expect(etaMs(10_000, 4000, rate)).toBeCloseTo(3000, 3);
  expect(etaMs(10_000, 10_001, rate)).toBeNull();
  expect(etaMs(10_000, 0, noRate)).toBeNull();
});

test('a rate follows a change within the time in which older chunks lose their weight', () => {
  let rate = addToRate(noRate, 60_000, 60_000);
  for (let turn = 0; turn < 60; turn += 1) rate = addToRate(rate, 10_000, 1000);
  expect(rate.perSecond).toBeGreaterThan(9000);
});
