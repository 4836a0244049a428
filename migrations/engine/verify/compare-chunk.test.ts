import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { KeyRange } from '../backfill/key-range.ts';
import { compareKeys, compareRange, listedRows, narrow } from './compare-chunk.ts';
import { digestOf, rowText, sumOf } from './digest.ts';
import type { ListedRow, Side } from './side.ts';

/** A table in memory: number → value; counts the rows that it was asked to list. */
function sideOf(rows: ReadonlyMap<number, string>): Side & { listed(): number } {
  let listed = 0;
  const within = ({ after, upTo }: KeyRange): ListedRow[] =>
    [...rows]
      .filter(([no]) => (after === null || no > Number(after[0])) && (upTo === null || no <= Number(upTo[0])))
      .sort(([a], [b]) => a - b)
      .map(([no, value]) => ({
        keyText: `${no}`,
        key: [`${no}`],
        digest: digestOf(rowText([`${no}`, value], ['plain', 'counted'])),
      }));
  return {
    listed: () => listed,
    async sum(range) {
      const found = within(range);
      return { rows: found.length, sum: sumOf(found.map(({ digest }) => digest)) };
    },
    async list(range, limit) {
      const found = within(range).slice(0, limit);
      listed += found.length;
      return found;
    },
    listKeys: async (keys) =>
      keys.map(([no]) => within({ after: null, upTo: null }).find(({ keyText }) => keyText === no) ?? null),
    keyAt: async (range, position) => within(range)[position - 1]?.key ?? null,
  };
}

const table = fc
  .array(fc.nat(2000), { maxLength: 600 })
  .map((numbers) => new Map(numbers.map((no) => [no, `v${no % 7}`])));
const damage = fc.array(fc.record({ no: fc.nat(2000), to: fc.constantFrom('other', null) }), { maxLength: 6 });

/** What damage did to a table: numbers whose row is not the same any more. */
function damaged(rows: ReadonlyMap<number, string>, done: readonly { no: number; to: string | null }[]) {
  const after = new Map(rows);
  for (const { no, to } of done) {
    if (to === null) after.delete(no);
    else after.set(no, to);
  }
  const numbers = new Set([...rows.keys(), ...after.keys()]);
  return { after, changed: [...numbers].filter((no) => rows.get(no) !== after.get(no)).sort((a, b) => a - b) };
}

describe('two tables', () => {
  test('are told apart by exactly the rows that differ, and few others are listed', async () => {
    await fc.assert(
      fc.asyncProperty(table, damage, async (rows, done) => {
        const { after, changed } = damaged(rows, done);
        const [source, target] = [sideOf(rows), sideOf(after)];
        const { suspects } = await compareRange(source, target, { after: null, upTo: null });
        expect(suspects.map(({ key }) => Number(key[0])).sort((a, b) => a - b)).toEqual(changed);
        expect(source.listed()).toBeLessThanOrEqual(changed.length * listedRows);
      }),
    );
  });

  test('whose orders differ are told apart by the keys of one and then of the other', async () => {
    await fc.assert(
      fc.asyncProperty(table, damage, fc.integer({ min: 1, max: 50 }), async (rows, done, limit) => {
        const { after, changed } = damaged(rows, done);
        const [source, target] = [sideOf(rows), sideOf(after)];
        const found: number[] = [];
        for (const [one, other, want] of [
          [source, target, 'all'],
          [target, source, 'missing'],
        ] as const) {
          for (let next: readonly string[] | null = null; ; ) {
            const run = await compareKeys(one, other, next, limit, want);
            found.push(...run.suspects.map(({ key }) => Number(key[0])));
            next = run.next;
            if (next === null) break;
          }
        }
        expect(found.sort((a, b) => a - b)).toEqual(changed);
      }),
    );
  });
});

test('a range is halved by the side that has more of it, until it is short', () => {
  const sum = (rows: number) => ({ rows, sum: '1' });
  expect(narrow(sum(listedRows), sum(0))).toEqual({ kind: 'list' });
  expect(narrow(sum(101), sum(100))).toEqual({ kind: 'halve', by: 'source', position: 51 });
  expect(narrow(sum(0), sum(1000))).toEqual({ kind: 'halve', by: 'target', position: 500 });
});
