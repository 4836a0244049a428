import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { rememberSlowest } from './slowest-write.ts';

const spanMs = 1_000;

test('is never less than the longest of the last span, nor more than the longest of the last two', () => {
  const write = fc.record({ afterMs: fc.nat(700), tookMs: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(write), fc.nat(3_000), (writes, laterMs) => {
      const slowest = rememberSlowest(spanMs);
      let nowMs = 5_000;
      const ended: { atMs: number; tookMs: number }[] = [];
      for (const { afterMs, tookMs } of writes) {
        nowMs += afterMs;
        slowest.note({ route: `POST /${tookMs}`, tookMs }, nowMs);
        ended.push({ atMs: nowMs, tookMs });
      }
      nowMs += laterMs;
      const longestSince = (ms: number) =>
        Math.max(-1, ...ended.filter(({ atMs }) => atMs > nowMs - ms).map(({ tookMs }) => tookMs));
      const found = slowest.of(nowMs)?.tookMs ?? -1;
      expect(found).toBeGreaterThanOrEqual(longestSince(spanMs));
      expect(found).toBeLessThanOrEqual(longestSince(2 * spanMs));
    }),
  );
});
