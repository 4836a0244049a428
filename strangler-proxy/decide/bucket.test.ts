import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { bucketOf, murmur3 } from './bucket.ts';

describe('murmur3', () => {
  test.each([
    ['', 0, 0],
    ['', 1, 0x514e28b7],
    ['test', 0, 0xba6bd213],
    ['test', 0x9747b28c, 0x704b81dc],
    ['aaaa', 0x9747b28c, 0x5a97808a],
    ['Hello, world!', 0, 0xc0363e43],
    ['The quick brown fox jumps over the lazy dog', 0, 0x2e4ff723],
  ])('of %j with seed %i is the published %i', (text, seed, hash) => {
    expect(murmur3(text, seed)).toBe(hash);
  });
});

describe('a bucket', () => {
  test('is always one of ten thousand, whatever the key', () => {
    fc.assert(
      fc.property(fc.string(), fc.string({ unit: 'grapheme' }), (slice, key) => {
        const bucket = bucketOf(slice, key);
        expect(Number.isInteger(bucket) && bucket >= 0 && bucket < 10_000).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test('is filled evenly by sequential account ids', () => {
    const users = 100_000;
    const perTenth = new Array<number>(10).fill(0);
    for (let user = 0; user < users; user += 1)
      perTenth[Math.floor(bucketOf('catalog', `jwt.sub=${user}`) / 1000)]! += 1;
    for (const count of perTenth) expect(Math.abs(count - users / 10)).toBeLessThan(users * 0.005);
  });

  test('of the same user differs between slices, so that nobody is first everywhere', () => {
    const firstInBoth = Array.from({ length: 10_000 }, (_, user) => `jwt.sub=${user}`).filter(
      (key) => bucketOf('catalog', key) < 1000 && bucketOf('orders', key) < 1000,
    ).length;
    expect(firstInBoth).toBeGreaterThan(50);
    expect(firstInBoth).toBeLessThan(160);
  });
});
