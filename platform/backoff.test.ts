import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { nextBackoffMs, pause } from './backoff.ts';

const backoffs = fc
  .record({ baseMs: fc.integer({ min: 1, max: 1000 }), over: fc.integer({ min: 0, max: 60_000 }) })
  .map(({ baseMs, over }) => ({ baseMs, capMs: baseMs + over }));
const dice = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('nextBackoffMs', () => {
  test('the first try waits no longer than the base', () => {
    fc.assert(
      fc.property(backoffs, dice, (backoff, roll) => {
        const delayMs = nextBackoffMs(undefined, backoff, () => roll);
        expect(delayMs).toBeGreaterThanOrEqual(0);
        expect(delayMs).toBeLessThanOrEqual(backoff.baseMs);
      }),
    );
  });

  test('however long it goes on, every later wait lies between the base and the cap', () => {
    fc.assert(
      fc.property(backoffs, fc.array(dice, { minLength: 1, maxLength: 30 }), (backoff, rolls) => {
        let delayMs = nextBackoffMs(undefined, backoff, () => rolls[0] as number);
        for (const roll of rolls) {
          delayMs = nextBackoffMs(delayMs, backoff, () => roll);
          expect(delayMs).toBeGreaterThanOrEqual(backoff.baseMs);
          expect(delayMs).toBeLessThanOrEqual(backoff.capMs);
        }
      }),
    );
  });

  test('with the unluckiest dice the cap is reached', () => {
    fc.assert(
      fc.property(backoffs, (backoff) => {
        let delayMs: number | undefined;
        for (let tries = 0; tries < 20; tries += 1) delayMs = nextBackoffMs(delayMs, backoff, () => 1 - Number.EPSILON);
        expect(delayMs).toBe(backoff.capMs);
      }),
    );
  });
});

describe('pause', () => {
  test('an aborted pause ends at once and says so', async () => {
    const stopping = new AbortController();
    const pausing = pause(3_600_000, stopping.signal);
    stopping.abort();
    await expect(pausing).resolves.toBe('aborted');
    await expect(pause(3_600_000, stopping.signal)).resolves.toBe('aborted');
  });

  test('a pause that is let be elapses', async () => {
    await expect(pause(1)).resolves.toBe('elapsed');
  });
});
