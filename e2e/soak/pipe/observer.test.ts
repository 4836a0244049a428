import { expect, test } from '@jest/globals';
import { compareLooks } from './observer.ts';

/** Rows by their numbers; one in brackets was copied. */
const looks = (...states: Record<string, number | [number]>[]): string[] => {
  const seen = new Map();
  return states.flatMap((state) =>
    compareLooks(
      seen,
      new Map(
        Object.entries(state).map(([row, n]) => [row, { n: Array.isArray(n) ? n[0] : n, copied: Array.isArray(n) }]),
      ),
    ),
  );
};

test('a row may grow, go and come back newer, and be copied before its first change', () => {
  expect(looks({ a: 0 }, { a: 0 }, { a: 3, b: 1 }, { b: 1 }, { a: 4, b: 1 })).toEqual([]);
  expect(looks({ a: [5] }, {}, { a: 3 }, { a: 5 })).toEqual([]);
});

test('a row may not get older, nor come back as it was when it went, nor be copied after a change', () => {
  expect(looks({ a: 3 }, { a: 2 }, { a: 3 })).toEqual(['a went back from 3 to 2']);
  expect(looks({ a: 3 }, {}, {}, { a: 3 })).toEqual(['a came back as 3']);
  expect(looks({ a: 3 }, {}, { a: [3] })).toEqual(['a was 3 by its changes and is a copy now, 3']);
});
