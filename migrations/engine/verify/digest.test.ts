import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { digestOf, rowText, sumOf, type TextForm } from './digest.ts';

const word = fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('', 'N', '1:a', ':', '3:', ';', '1;', '!1:;'));
/** As a server tells a number, a time or hex digits. */
const value = fc.oneof(fc.stringMatching(/^-?[0-9A-F:. ]{0,4}$/), fc.constantFrom('0', '1:1', '12', ''));
const form = fc.constantFrom<TextForm>('plain', 'counted');

/** Two rows of one table. */
const rows = fc
  .tuple(fc.array(form, { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([forms, last]): TextForm[] => (last ? ['last', ...forms] : forms))
  .chain((forms) => {
    const texts = fc.tuple(...forms.map((one) => fc.option(one === 'plain' ? value : word)));
    return fc.tuple(fc.constant(forms), texts, texts);
  });

test('no two different rows have the same text', () => {
  fc.assert(
    fc.property(rows, ([forms, one, other]) => {
      expect(rowText(one, forms) === rowText(other, forms)).toBe(JSON.stringify(one) === JSON.stringify(other));
    }),
    { numRuns: 5000 },
  );
  expect(rowText(['1:a', null], ['counted', 'counted'])).not.toBe(rowText(['1', ':aN'], ['counted', 'counted']));
});

test('what no value reads as is the same as no value', () => {
  fc.assert(
    fc.property(rows, fc.array(word, { minLength: 5, maxLength: 5 }), ([forms, row], words) => {
      const at = forms.indexOf('plain');
      const strange = words.find((text) => /;|^N$/.test(text));
      fc.pre(at >= 0 && strange !== undefined);
      const made = row.map((text, index) => (index === at ? (strange as string) : text));
      expect(rowText(made, forms)).not.toBe(rowText(row, forms));
    }),
  );
});

test('rows that have exchanged values do not cancel each other out', () => {
  const forms: TextForm[] = ['plain', 'counted'];
  fc.assert(
    fc.property(fc.string(), fc.string(), (one, other) => {
      fc.pre(one !== other);
      const sum = (first: string, second: string) =>
        sumOf([digestOf(rowText(['1', first], forms)), digestOf(rowText(['2', second], forms))]);
      expect(sum(one, other)).not.toBe(sum(other, one));
    }),
  );
});

test('a sum does not depend on the order of rows', () => {
  expect(sumOf(['18446744073709551615', '1', '7'])).toBe(sumOf(['7', '18446744073709551615', '1']));
  expect(sumOf([])).toBe('0');
});
