import { describe, expect, test } from '@jest/globals';
import type { HoldAck, LiveProxy } from '@strangler/platform/contracts/hold-ack.ts';
import fc from 'fast-check';
import { holdProgress, holdText, isHeldByAll, type Kept, stillWriting, stillWritingText } from './hold-progress.ts';

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

  test('says for what it was waited: how many writes, and the route and age of the oldest, of the slice alone', () => {
    const writes = (slice: string, count: number, forMs: number | null) => ({
      ...{ slice, epoch: 1, gate: 'cut-over' as const, deadline: null, heldNow: 0, acknowledged: null },
      inFlight: count === 0 ? [] : [{ side: 'monolith' as const, epoch: 1, writes: count }],
      oldest: forMs === null ? null : { route: 'POST /api/checkout', forMs },
    });
    const worker = (...all: ReturnType<typeof writes>[]) => ({
      ...{ worker: 1, pid: 1, flagSource: 'store' as const, flags: [], upstreams: [], inFlight: 0 },
      writes: all,
    });
    const status = (...workers: ReturnType<typeof worker>[]) => ({ id: 'p', slices: [], workers });
    const found = stillWriting('orders', [
      {
        id: 'p1',
        status: status(
          worker(writes('orders', 2, 300), writes('catalog', 5, 9_000)),
          worker(writes('orders', 1, 7_240)),
        ),
      },
      { id: 'p2', status: status(worker(writes('orders', 0, null))) },
      { id: 'p3', status: null },
    ]);
    expect(stillWritingText(found)).toBe('p1 has 3 writes under way, POST /api/checkout for 7.2 s');
    expect(stillWritingText([{ id: 'p4', writes: 1, oldest: null }])).toBe('p4 has 1 write under way');
  });

  test('names who keeps it from being complete', () => {
    const progress = holdProgress(
      { live: new Map([['p1', { value: null, session: 's1' }]]), acks: new Map(), registered: ['p1', 'p2'] },
      'this',
    );
    expect(holdText(progress)).toBe('p1 did not say in time that it holds; p2 is registered and has no live session');
  });
});
