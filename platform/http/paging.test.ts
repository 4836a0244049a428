import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { decodeCursor, encodeCursor, listFingerprint, pageOf } from './paging.ts';
import { Problem } from './problem.ts';

const key = z.union([z.string(), z.number()]);
const cursors = fc.record({
  key: fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.integer(),
    fc.integer({ min: 0, max: 500 }).map((n) => n / 100),
  ),
  id: fc.integer({ min: 1 }),
});

describe('cursors', () => {
  test('a cursor is read back as it was made, and is made of characters that a URL takes', () => {
    fc.assert(
      fc.property(cursors, (cursor) => {
        const text = encodeCursor(cursor, 'f');
        expect(text).toMatch(/^[\w-]+$/);
        expect(decodeCursor(text, { fingerprint: 'f', key })).toEqual(cursor);
      }),
    );
  });

  test('a cursor of another list is refused', () => {
    const text = encodeCursor({ key: 5, id: 1 }, listFingerprint({ sort: 'price' }));
    expect(() => decodeCursor(text, { fingerprint: listFingerprint({ sort: 'name' }), key })).toThrow(Problem);
  });

  test('a cursor whose key is of another kind is refused', () => {
    const text = encodeCursor({ key: 'five', id: 1 }, 'f');
    expect(() => decodeCursor(text, { fingerprint: 'f', key: z.number() })).toThrow(Problem);
  });

  test('whatever text comes as a cursor, it is read or refused with a 400 at query/cursor', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.base64String(),
          fc.json().map((text) => btoa(encodeURI(text))),
        ),
        (text) => {
          try {
            decodeCursor(text, { fingerprint: 'f', key });
          } catch (error) {
            expect(error).toMatchObject({ status: 400, errors: [{ in: 'query', path: 'cursor' }] });
          }
        },
      ),
    );
  });
});

describe('fingerprints', () => {
  test('they depend on names and values, not on the order in which they are given', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer())), (list) => {
        const reversed = Object.fromEntries(Object.entries(list).reverse());
        expect(listFingerprint(reversed)).toBe(listFingerprint(list));
      }),
    );
    expect(listFingerprint({ a: 'b' })).not.toBe(listFingerprint({ b: 'a' }));
    expect(listFingerprint({ a: '1' })).not.toBe(listFingerprint({ a: 1 }));
    expect(listFingerprint({ a: undefined })).toBe(listFingerprint({}));
  });
});

describe('pages', () => {
  test('following the cursors shows every row once, in order, whatever the limit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1, max: 10 }), (total, limit) => {
        const all = Array.from({ length: total }, (_, at) => at + 1);
        const seen: number[] = [];
        for (let after = 0; ; ) {
          const page = pageOf(all.slice(after, after + limit + 1), {
            limit,
            fingerprint: 'f',
            cursorOf: (row) => ({ key: row, id: row }),
            toItem: (row) => row,
          });
          seen.push(...page.items);
          if (page.next_cursor === null) break;
          after = decodeCursor(page.next_cursor, { fingerprint: 'f', key: z.number() }).id;
        }
        expect(seen).toEqual(all);
      }),
    );
  });
});
