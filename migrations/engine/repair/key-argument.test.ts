import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatKey, KeyArgumentError, parseKey } from './key-argument.ts';

const table = (key: readonly string[]) => ({ mapping: { source: 'things', key } }) as Parameters<typeof parseKey>[0];

test('a key reads back as it was written, whatever stands in it', () => {
  const part = fc.oneof(fc.string(), fc.stringMatching(/^[~/01]*$/));
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (key) => {
      expect(parseKey(table(key.map((_, index) => `c${index}`)), formatKey(key))).toEqual(key);
    }),
  );
});

test.each(['1', '1/2/3', '', '1/~2', '~2ab/1', '1/~'])('%j is no key of two columns', (text) => {
  expect(() => parseKey(table(['shop', 'no']), text)).toThrow(KeyArgumentError);
  expect(() => parseKey(table(['shop', 'no']), text)).toThrow(/expected shop\/no, .* found/);
});
