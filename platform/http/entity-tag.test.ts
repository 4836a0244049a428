import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { entityTag, ifMatchMatches, ifNoneMatchMatches } from './entity-tag.ts';

describe('entity tags', () => {
  test('two bodies have the same tag only when they are the same', () => {
    fc.assert(fc.property(fc.string(), fc.string(), (a, b) => (entityTag(a) === entityTag(b)) === (a === b)));
  });

  test('the same body at another version has another tag', () => {
    expect(entityTag('{}', 1)).not.toBe(entityTag('{}', 2));
    expect(entityTag('{}', 7)).toMatch(/^"7-[0-9a-f]{32}"$/);
  });

  test('a tag is found wherever it stands in a list', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), fc.array(fc.string()), fc.string(), (before, after, body) => {
        const header = [...before, body, ...after].map((text) => entityTag(text)).join(', ');
        return ifMatchMatches(header, entityTag(body)) && ifNoneMatchMatches(header, entityTag(body));
      }),
    );
  });

  test('a weak tag matches for If-None-Match and never for If-Match', () => {
    const tag = entityTag('body');
    expect(ifNoneMatchMatches(`W/${tag}`, tag)).toBe(true);
    expect(ifMatchMatches(`W/${tag}`, tag)).toBe(false);
  });

  test('a star matches anything, and a header that is no list of tags matches nothing', () => {
    const tag = entityTag('body');
    expect(ifMatchMatches(' * ', tag)).toBe(true);
    for (const header of ['', tag.slice(1, -1), tag.slice(1), '"', ',,,'])
      expect(ifMatchMatches(header, tag)).toBe(false);
  });

  test('a tag with a comma in it is one tag', () => {
    expect(ifMatchMatches('"a,b", "c"', '"a,b"')).toBe(true);
    expect(ifMatchMatches('"a,b"', '"a"')).toBe(false);
  });
});
