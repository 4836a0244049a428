import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { FlagDocumentError, initialFlagDocument } from '../contracts/flag-document.ts';
import { mergeListing } from './merge-listing.ts';
import type { FlagListing, StoredFlag } from './store.ts';

const flag = (slice: string, index: string, epoch = 1, percent = 0): StoredFlag => ({
  index,
  document: {
    ...initialFlagDocument(slice, { id: index, by: 'ada', at: '2026-01-01T00:00:00.000Z', reason: '' }),
    epoch,
    reads: { percent, cohorts: [] },
  },
});
const listing = (flags: StoredFlag[], refused: [string, string][] = []): FlagListing => ({
  flags: new Map(flags.map((one) => [one.document.slice, one])),
  refused: new Map(refused.map(([slice, why]) => [slice, new FlagDocumentError(why)])),
});
const merge = (known: StoredFlag[], next: FlagListing) =>
  mergeListing(new Map(known.map((one) => [one.document.slice, one])), next);

describe('a new listing of flags', () => {
  test('puts what changed in force and says what it was before', () => {
    const { flags, events } = merge(
      [flag('a', '1', 1, 10), flag('b', '1')],
      listing([flag('a', '2', 1, 20), flag('b', '1')]),
    );
    expect(flags.get('a')?.document.reads.percent).toBe(20);
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ kind: 'changed', slice: 'a', before: { reads: { percent: 10 } } });
  });

  test('keeps the last good document where the new one does not parse', () => {
    const { flags, events } = merge([flag('a', '1', 1, 10)], listing([], [['a', 'stage: unknown']]));
    expect(flags.get('a')?.document.reads.percent).toBe(10);
    expect(events).toEqual([{ kind: 'refused', slice: 'a', why: 'stage: unknown' }]);
  });

  test('keeps what vanished, because a store that lost its data must not move a slice', () => {
    const { flags, events } = merge([flag('a', '1', 1, 100)], listing([]));
    expect(flags.get('a')?.document.reads.percent).toBe(100);
    expect(events).toMatchObject([{ kind: 'refused', slice: 'a', why: expect.stringContaining('vanished') }]);
  });

  test('keeps everything where the whole store is unreadable, and says one thing, not one a slice', () => {
    const { flags, events } = merge([flag('a', '1'), flag('b', '1')], listing([], [['*', 'expected JSON']]));
    expect(flags.size).toBe(2);
    expect(events).toEqual([{ kind: 'refused', slice: '*', why: 'expected JSON' }]);
  });

  test('never lets an epoch go back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ epoch: fc.integer({ min: 1, max: 6 }), index: fc.integer({ min: 1, max: 9 }) })),
        (steps) => {
          let known: ReadonlyMap<string, StoredFlag> = new Map();
          for (const { epoch, index } of steps) {
            const before = known.get('a')?.document.epoch ?? 0;
            known = mergeListing(known, listing([flag('a', String(index), epoch)])).flags;
            expect(known.get('a')!.document.epoch).toBeGreaterThanOrEqual(before);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
