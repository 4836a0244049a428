import { describe, expect, test } from '@jest/globals';
import { compareVersions } from '@strangler/platform/contracts/row-message.ts';
import fc from 'fast-check';
import {
  isNewer,
  newestOfEach,
  rowId,
  type StoredVersion,
  splitByVersion,
  splitIntoBatches,
  type TableChange,
} from './choose-changes.ts';

const version = fc.record({ epoch: fc.nat(2), id: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String) });
const entry: fc.Arbitrary<TableChange> = fc
  .record({ table: fc.constantFrom('a', 'b'), keyText: fc.constantFrom('1', '2', '3'), version, deleted: fc.boolean() })
  .map(({ table, keyText, version: at, deleted }) => ({
    table,
    change: { op: deleted ? 'delete' : 'upsert', key: {}, keyText, image: deleted ? null : {}, version: at },
  }));
const entries = fc.array(entry, { maxLength: 30 });
const idOf = ({ table, change }: TableChange) => rowId(table, change.keyText);

describe('of the changes of a batch', () => {
  test('exactly the newest of each row is left, in one order whatever order they came in', () => {
    fc.assert(
      fc.property(entries, (changes) => {
        const { newest, superseded } = newestOfEach(changes);
        expect(newest.length + superseded).toBe(changes.length);
        expect(new Set(newest.map(idOf))).toEqual(new Set(changes.map(idOf)));
        expect(newest.map(idOf)).toEqual([...new Set(newest.map(idOf))].sort());
        for (const one of newest) {
          const rivals = changes.filter((other) => idOf(other) === idOf(one));
          expect(rivals.every((other) => compareVersions(other.change.version, one.change.version) <= 0)).toBe(true);
        }
        const reversed = newestOfEach([...changes].reverse()).newest;
        expect(reversed.map(({ change }) => change.version)).toEqual(newest.map(({ change }) => change.version));
      }),
    );
  });

  test('those are written that are newer than what the target has, and no others', () => {
    const stored = fc.dictionary(
      fc.tuple(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2', '3')).map(([table, key]) => rowId(table, key)),
      version.map((at): StoredVersion => ({ ...at, deleted: false })),
    );
    fc.assert(
      fc.property(entries, stored, (changes, known) => {
        const { newest } = newestOfEach(changes);
        const map = new Map(Object.entries(known));
        const { fresh, duplicates } = splitByVersion(newest, map);
        expect(fresh.length + duplicates).toBe(newest.length);
        for (const one of newest) {
          const had = map.get(idOf(one));
          expect(fresh.includes(one)).toBe(had === undefined || compareVersions(one.change.version, had) > 0);
        }
      }),
    );
  });
});

test('a copied row is newer than none, and older than everything captured', () => {
  const copied = { epoch: 0, id: '0' };
  expect(isNewer(copied, undefined)).toBe(true);
  expect(isNewer(copied, copied)).toBe(false);
  expect(isNewer({ epoch: 0, id: '1' }, copied)).toBe(true);
});

test('batches keep the order, hold everything, and stay within their bounds unless one alone is larger', () => {
  const limits = fc.record({ maxRows: fc.integer({ min: 1, max: 9 }), maxBytes: fc.integer({ min: 1, max: 50 }) });
  fc.assert(
    fc.property(fc.array(fc.nat(30)), limits, (sizes, bounds) => {
      const batches = splitIntoBatches(sizes, (size) => size, bounds);
      expect(batches.flat()).toEqual(sizes);
      for (const batch of batches) {
        expect(batch.length).toBeGreaterThan(0);
        expect(batch.length).toBeLessThanOrEqual(bounds.maxRows);
        const bytes = batch.reduce((sum, size) => sum + size, 0);
        expect(batch.length === 1 || bytes <= bounds.maxBytes).toBe(true);
      }
    }),
  );
});
