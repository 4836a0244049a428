import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { digestOf, rowText, sumOf } from './digest.ts';

const texts = fc.array(
  fc.option(fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('', 'N', '1:a', ':', '3:'))),
  {
    minLength: 1,
    maxLength: 4,
  },
);

test('no two different rows have the same text', () => {
  fc.assert(
    fc.property(texts, texts, (one, other) => {
      expect(rowText(one) === rowText(other)).toBe(JSON.stringify(one) === JSON.stringify(other));
    }),
    { numRuns: 5000 },
  );
  expect(rowText(['1:a', null])).not.toBe(rowText(['1', ':aN']));
});

test('rows that have exchanged values do not cancel each other out', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (one, other) => {
      fc.pre(one !== other);
      const sum = (first: string, second: string) =>
        sumOf([digestOf(rowText(['1', first])), digestOf(rowText(['2', second]))]);
      expect(sum(one, other)).not.toBe(sum(other, one));
    }),
  );
});

test('a sum does not depend on the order of rows', () => {
  expect(sumOf(['18446744073709551615', '1', '7'])).toBe(sumOf(['7', '18446744073709551615', '1']));
  expect(sumOf([])).toBe('0');
});
