import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  concretePath,
  coversPlace,
  JsonPathError,
  matchesPlace,
  parseJsonPattern,
  type Step,
  templatedPath,
} from './json-path.ts';
import { parseRulePath } from './rule-path.ts';

const places = fc.array(
  fc.oneof(fc.string({ maxLength: 6 }), fc.nat(20), fc.constantFrom('a', 'id', '17', '__proto__')),
  { maxLength: 6 },
);

describe('a pattern', () => {
  test('made of a place’s own path names that place and no other', () => {
    fc.assert(
      fc.property(places, places, (place, other) => {
        const pattern = parseJsonPattern(concretePath(place));
        expect(matchesPlace(pattern, place)).toBe(true);
        expect(matchesPlace(pattern, other)).toBe(JSON.stringify(other) === JSON.stringify(place));
      }),
      { numRuns: 500 },
    );
  });

  test('made of a place’s templated path names it too', () => {
    fc.assert(
      fc.property(places, (place) => {
        expect(matchesPlace(parseJsonPattern(templatedPath(place)), place)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('covers what it names and all that stands within', () => {
    fc.assert(
      fc.property(places, places, (place, within) => {
        expect(coversPlace(parseJsonPattern(concretePath(place)), [...place, ...within])).toBe(true);
      }),
    );
  });

  test.each<[string, Step[], boolean]>([
    ['$', [], true],
    ['$', ['a'], false],
    ['$.items[*].price', ['items', 3, 'price'], true],
    ['$.items[*].price', ['items', 'x', 'price'], false],
    ['$.items[2]', ['items', 2], true],
    ['$.items[2]', ['items', 3], false],
    ['$.*', ['a'], true],
    ['$.*', [0], false],
    ['$..etag', ['etag'], true],
    ['$..etag', ['a', 3, 'b', 'etag'], true],
    ['$..etag', ['a', 'etag', 'b'], false],
    ['$..items[*].id', ['a', 'items', 0, 'id'], true],
    ['$..[*]', ['a', 0], true],
    ['$..*', ['a', 0, 'b'], true],
    ['$["a b"].c', ['a b', 'c'], true],
    ['$["]\\""]', [']"'], true],
    ['$.a-b', ['a-b'], true],
  ])('%s and %j: %s', (pattern, place, expected) => {
    expect(matchesPlace(parseJsonPattern(pattern), place)).toBe(expected);
  });

  test.each(['', 'a', '$a', '$.', '$..', '$.a b', '$[', '$[a]', '$["a]', '$.a[*', '$[-1]', '$.1a', '$...a'])(
    '%j is none, and says how one looks',
    (text) => {
      expect(() => parseJsonPattern(text)).toThrow(JsonPathError);
      expect(() => parseJsonPattern(text)).toThrow(/expected a JSON path such as \$\.items/);
    },
  );
});

test.each<[Step[], string]>([
  [['items', 3, 'price'], '$.items[*].price'],
  [['byId', '17', 'n'], '$.byId.*.n'],
  [['byId', '6f1c9a1e-1111-4222-8333-444455556666'], '$.byId.*'],
  [['byId', '507f1f77bcf86cd799439011'], '$.byId.*'],
  [['byId', '01ARZ3NDEKTSV4RRFFQ69G5FAV'], '$.byId.*'],
  [['a b'], '$["a b"]'],
  [['deadbeef'], '$.deadbeef'],
])('the place %j has the template %s', (place, path) => {
  expect(templatedPath(place)).toBe(path);
});

describe('a rule’s path', () => {
  test.each<[string, object]>([
    ['status', { in: 'status' }],
    ['body', { in: 'whole-body' }],
    ['header ETag', { in: 'header', name: 'etag' }],
    ['$.a', { in: 'body' }],
    ['event *', { in: 'event', type: '*', pattern: null }],
    ['event a.b $.c', { in: 'event', type: 'a.b' }],
  ])('%s is understood', (text, path) => {
    expect(parseRulePath(text)).toMatchObject(path);
  });

  test.each(['', 'headers', 'header', 'header a b', 'event', 'event a b', 'latency'])('%j is refused', (text) => {
    expect(() => parseRulePath(text)).toThrow(/expected \$\.a\.path, "header <name>"/);
  });
});
