import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createBodyPace } from './body-pace.ts';

/** Looks at a body every 100 ms; true as soon as it is found too slow. */
const isEverBelow = (rate: { bytesPerSecond: number; windowMs: number }, bytesOf: readonly number[]): boolean => {
  const pace = createBodyPace(rate);
  let moved = 0;
  return [0, ...bytesOf].some((bytes, at) => {
    moved += bytes;
    return pace.isBelow(at * 100, moved);
  });
};

describe('the pace of a body', () => {
  test('is never below where every tenth of a second brings its share, and always where a whole window does not', () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 10_000 }), fc.integer({ min: 1, max: 20 }), (bytesPerSecond, seconds) => {
        const rate = { bytesPerSecond, windowMs: seconds * 1_000 };
        const looks = seconds * 10;
        const share = Math.ceil(bytesPerSecond / 10);
        expect(isEverBelow(rate, Array(looks * 3).fill(share))).toBe(false);
        expect(isEverBelow(rate, Array(looks * 3).fill(Math.ceil(share / 20)))).toBe(share > Math.ceil(share / 20));
      }),
    );
  });

  test('lets a pause be made up for within its window', () => {
    const rate = { bytesPerSecond: 100, windowMs: 1_000 };
    expect(isEverBelow(rate, [0, 0, 0, 0, 0, 0, 0, 0, 0, 100])).toBe(false);
    expect(isEverBelow(rate, [0, 0, 0, 0, 0, 0, 0, 0, 0, 99])).toBe(true);
  });

  test('does not count time in which the client was not waited for', () => {
    const pace = createBodyPace({ bytesPerSecond: 100, windowMs: 1_000 });
    for (let at = 0; at < 20; at++) expect(pace.isBelow(at * 60_000, 0)).toBe(false);
  });

  test('does not matter where the rate is 0', () => {
    expect(isEverBelow({ bytesPerSecond: 0, windowMs: 1_000 }, Array(50).fill(0))).toBe(false);
  });
});
