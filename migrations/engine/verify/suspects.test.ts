import { describe, expect, test } from '@jest/globals';
import type { RowVersion } from '@strangler/platform/contracts/row-message.ts';
import fc from 'fast-check';
import type { MappedTable } from '../apply/row-shape.ts';
import type { TargetLook } from './judge.ts';
import type { Looks, SourceRow } from './look.ts';
import { createSuspects, type SuspectEvent } from './suspects.ts';

const mapping = {
  source: 'totals',
  target: 'sums',
  key: ['id'],
  columns: [{ source: 'n', target: 'n' }],
} as unknown as MappedTable['mapping'];

const version = (id: number): RowVersion => ({ epoch: 1, id: String(id) });

/**
 * A row whose nth version has the value n, or what `wrong` makes of it at the target; both sides move on between the looks
 * as they are told to.
 */
function movingRow(wrong: (n: number) => number = (n) => n) {
  const at = { source: 1, target: 0 };
  const source = (): SourceRow => ({
    key: ['1'],
    keyText: '1',
    texts: [String(at.source)],
    newest: version(at.source),
  });
  const target = (): TargetLook => ({
    texts: [String(wrong(at.target))],
    version: version(at.target),
    parked: null,
  });
  const looks: Looks = {
    source: async (keys) => keys.map(source),
    target: async (rows) => rows.map(target),
    same: (one, other) => one[0] === other[0],
    differing: (one, other) => (one[0] === other[0] ? [] : ['n']),
  };
  return { at, looks };
}

/** Looks until the row is settled: `between` moves the sides before each look. */
async function settle(
  row: ReturnType<typeof movingRow>,
  { looks: most, between }: { looks: number; between: (nth: number) => void },
): Promise<SuspectEvent[]> {
  let nowMs = 0;
  const suspects = createSuspects({ mapping, looks: row.looks, patienceMs: most, nowMs: () => nowMs });
  suspects.add([{ key: ['1'] }]);
  const events: SuspectEvent[] = [];
  while (suspects.count() > 0) {
    between(nowMs);
    events.push(...(await suspects.look()));
    nowMs += 1;
  }
  return events;
}

describe('a row in doubt', () => {
  test('that is written between any two looks is settled by an image of before, however far behind the target is', async () => {
    const leaps = fc.record({
      writesALook: fc.integer({ min: 1, max: 7 }),
      looksBehind: fc.integer({ min: 1, max: 60 }),
      every: fc.integer({ min: 1, max: 60 }),
    });
    await fc.assert(
      fc.asyncProperty(leaps, async ({ writesALook, looksBehind, every }) => {
        const row = movingRow();
        const events = await settle(row, {
          looks: 400,
          between(nth) {
            row.at.source += writesALook;
            if (nth % every === 0) row.at.target = Math.max(0, row.at.source - writesALook * looksBehind);
          },
        });
        expect(events).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test('that is different at every version is told, however often it is written', async () => {
    const row = movingRow((n) => n + 1_000_000);
    const events = await settle(row, {
      looks: 400,
      between(nth) {
        row.at.source += 3;
        if (nth % 10 === 0) row.at.target = Math.max(0, row.at.source - 30);
      },
    });
    expect(events).toMatchObject([{ kind: 'difference', difference: { how: 'changed', columns: ['n'] } }]);
  });

  test('whose change never comes is unsettled when patience ends, and named with the version that is missing', async () => {
    const row = movingRow();
    row.at.source = 9;
    const events = await settle(row, { looks: 20, between: () => {} });
    expect(events).toEqual([{ kind: 'unsettled', table: 'sums', key: { id: '1' }, keyText: '1', missing: version(9) }]);
  });
});
