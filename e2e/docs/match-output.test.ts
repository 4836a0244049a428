import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { matchesOutput } from './match-output.ts';

const lines = fc.array(
  fc
    .string()
    .map((text) => text.replaceAll(/…|\s/g, ''))
    .filter((text) => text !== ''),
);

describe('what a page says a command prints', () => {
  test('matches itself', () => {
    fc.assert(fc.property(lines, (text) => matchesOutput(text, text)));
  });

  test('matches with any of its lines left to a line of …, and with any part of a line left to …', () => {
    fc.assert(
      fc.property(lines, fc.nat(), fc.nat(), (text, from, length) => {
        const start = from % (text.length + 1);
        const rest = text.slice(start + length);
        expect(matchesOutput([...text.slice(0, start), '…', ...rest], text)).toBe(true);
        expect(
          matchesOutput(
            text.map((line) => `${line.slice(0, 2)}…`),
            text,
          ),
        ).toBe(true);
      }),
    );
  });

  test('does not match with a line more, a line less or a line changed', () => {
    fc.assert(
      fc.property(lines, (text) => {
        expect(matchesOutput(text, [...text, 'one more'])).toBe(false);
        expect(matchesOutput([...text, 'one more'], text)).toBe(false);
        if (text.length > 0) expect(matchesOutput(text, [...text.slice(0, -1), `${text.at(-1)}!`])).toBe(false);
      }),
    );
  });

  test('… in a line does not reach into the next', () => {
    expect(matchesOutput(['a…b'], ['a', 'b'])).toBe(false);
    expect(matchesOutput(['a…b', '…', 'end'], ['a to b', 'x', 'y', 'end'])).toBe(true);
  });

  test('columns may be wider or narrower, but must be there', () => {
    expect(matchesOutput(['NAME  AGE'], ['NAME      AGE'])).toBe(true);
    expect(matchesOutput(['NAME  AGE'], ['NAME AGE'])).toBe(false);
  });

  test('spaces at the ends of lines and empty lines around do not count', () => {
    expect(matchesOutput(['a'], ['', 'a  ', ''])).toBe(true);
    expect(matchesOutput([], [''])).toBe(true);
  });
});
