import { expect, test } from '@jest/globals';
import { fuzzFraming } from './testing/fuzz-framing.ts';
import { startExpressUpstream, startLenientUpstream } from './testing/recording-upstream.ts';

/** The same numbers every time: mulberry32, by Tommy Ettinger (public domain). */
const seeded = (seed: number) => {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
};

test.each([
  ['Express', startExpressUpstream, 11],
  ['a lenient Node server', startLenientUpstream, 12],
] as const)(
  'no malformed request hangs, breaks anything or gets another one past the proxy to %s',
  async (_name, start, seed) => {
    const upstream = await start();
    try {
      const report = await fuzzFraming({ upstream, runs: 250, random: seeded(seed) });
      expect(report).toMatchObject({ hung: [], foreign: [], defects: [] });
      expect(report.forwarded).toBeGreaterThan(20);
      expect(report.refused).toBeGreaterThan(20);
      expect(report.seen).toBeGreaterThan(20);
      expect(report.grownMiB).toBeLessThan(64);
    } finally {
      await upstream.close();
    }
  },
  120_000,
);
