import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeEntry, type Entry, encodeEntry } from './entry.ts';

const representation = fc.record(
  {
    body: fc.string({ unit: 'binary' }),
    entityTag: fc.string({ minLength: 1 }),
    lastModified: fc.date({ noInvalidDate: true }),
  },
  { requiredKeys: ['body', 'entityTag'] },
);
const entry: fc.Arbitrary<Entry> = fc.record({
  stamp: fc.string(),
  freshUntilMs: fc.nat(),
  value: fc.option(representation, { nil: undefined }),
});

test('an entry is read back as it was written', () => {
  fc.assert(
    fc.property(entry, (one) => {
      expect(decodeEntry(encodeEntry(one))).toEqual(one);
    }),
  );
});

test('what is no entry is none', () => {
  for (const text of [null, undefined, '', 'x', '{', '{}', '[]\nx', 'null', '{"s":1,"f":2}']) {
    expect(decodeEntry(text)).toBeUndefined();
  }
});
