import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { lineOfText, paragraphs } from './text.ts';

describe('text that a person typed', () => {
  test('a line that was made regular stays as it is', () => {
    const schema = lineOfText({ min: 0, max: 200 });
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (text) => {
        const once = schema.safeParse(text);
        if (once.success) expect(schema.parse(once.data)).toBe(once.data);
      }),
    );
  });

  test('white space is one space in a line, and ends are trimmed', () => {
    expect(lineOfText({ min: 1, max: 20 }).parse('  a\t\u00a0\n b ')).toBe('a b');
    expect(paragraphs({ min: 1, max: 20 }).parse(' a\n\n b ')).toBe('a\n\n b');
  });

  test('the same letter in two encodings is the same text', () => {
    expect(lineOfText({ min: 1, max: 20 }).parse('e\u0301')).toBe('\u00e9');
  });

  test('what utf8mb4 cannot hold is refused, and so is text that is empty once trimmed', () => {
    for (const text of ['\ud800', 'a\0b', '', ' \n ']) {
      expect(lineOfText({ min: 1, max: 20 }).safeParse(text).success).toBe(false);
    }
  });
});
