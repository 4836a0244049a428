import { describe, expect, test } from '@jest/globals';
import type { HoldAck, LiveProxy } from '@strangler/platform/contracts/hold-ack.ts';
import fc from 'fast-check';
import { holdProgress, holdText, isHeldByAll, type Kept } from './hold-progress.ts';

const ack = (changeId: string): HoldAck => ({
  epoch: 1,
  changeId,
  workers: 1,
  heldNow: 0,
  at: '2026-01-01T00:00:00.000Z',
});
const ids = ['p1', 'p2', 'p3'];
const sessions = fc.constantFrom('s1', 's2', null);
const kept = <T>(value: fc.Arbitrary<T | null>): fc.Arbitrary<Map<string, Kept<T>>> =>
  fc
    .uniqueArray(fc.tuple(fc.constantFrom(...ids), value, sessions), { selector: ([id]) => id })
    .map((entries) => new Map(entries.map(([id, one, session]) => [id, { value: one, session }])));
const seen = fc.record({
  live: kept<LiveProxy>(fc.constant(null)),
  acks: kept(fc.option(fc.constantFrom('this', 'another').map(ack), { nil: null })),
  registered: fc.uniqueArray(fc.constantFrom(...ids)),
});

describe('a hold', () => {
  test('is complete exactly where every live proxy has acknowledged this change under its session, and none is missing', () => {
    fc.assert(
      fc.property(seen, (seen) => {
        const living = [...seen.live].filter(([, { session }]) => session !== null);
        const complete =
          living.every(([id, { session }]) => {
            const found = seen.acks.get(id);
            return found?.session === session && found?.value?.changeId === 'this';
          }) && seen.registered.every((id) => living.some(([live]) => live === id));
        expect(isHeldByAll(holdProgress(seen, 'this'))).toBe(complete);
      }),
      { numRuns: 3_000 },
    );
  });

  test('names who keeps it from being complete', () => {
    const progress = holdProgress(
      { live: new Map([['p1', { value: null, session: 's1' }]]), acks: new Map(), registered: ['p1', 'p2'] },
      'this',
    );
    expect(holdText(progress)).toBe('p1 did not say in time that it holds; p2 is registered and has no live session');
  });
});
