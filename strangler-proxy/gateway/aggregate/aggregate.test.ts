import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { atPointer, type JoinedPart, joinParts, type PartResult, partialMember } from './join-parts.ts';
import { namesIn, partTarget, readParams } from './part-target.ts';

const value = (found: unknown): PartResult => ({ kind: 'value', value: found });
const missing = (why: Extract<PartResult, { kind: 'missing' }>['why'], status: number | null = null): PartResult => ({
  ...{ kind: 'missing', why, status },
});

describe('an answer of parts', () => {
  test('is there exactly where each required part is, and names those that it is without', () => {
    const part = fc.record({ required: fc.boolean(), there: fc.boolean() });
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 8 }), (all) => {
        const parts = all.map(
          ({ required, there }, at): JoinedPart => ({
            ...{ name: `p${at}`, required, result: there ? value(at) : missing('failed') },
          }),
        );
        const joined = joinParts(parts);
        const lacking = all.findIndex(({ required, there }) => required && !there);
        if (lacking !== -1) {
          expect(joined).toMatchObject({ kind: 'none', part: `p${lacking}` });
          return;
        }
        const without = all.flatMap(({ there }, at) => (there ? [] : [`p${at}`]));
        expect(joined).toMatchObject({ kind: 'whole', partial: without });
        const body = joined.kind === 'whole' ? joined.body : {};
        for (const [at, { there }] of all.entries()) expect(body[`p${at}`]).toBe(there ? at : null);
        expect(body[partialMember]).toEqual(without.length === 0 ? undefined : without);
      }),
    );
  });

  test.each([
    [missing('late'), 504],
    [missing('failed'), 502],
    [missing('status', 503), 502],
    [missing('status', 404), 404],
    [missing('too-large', 200), 502],
    [missing('not-json', 200), 502],
  ] as const)('without %j is %i', (result, status) => {
    expect(joinParts([{ name: 'a', required: true, result }])).toMatchObject({ kind: 'none', status });
  });
});

test('a JSON pointer finds what it names and nothing inherited', () => {
  const document = { a: [{ 'b/c': 1, 'd~e': 2 }], '': 3, n: null };
  expect(atPointer(document, '')).toBe(document);
  expect(atPointer(document, '/a/0/b~1c')).toBe(1);
  expect(atPointer(document, '/a/0/d~0e')).toBe(2);
  expect(atPointer(document, '/')).toBe(3);
  expect(atPointer(document, '/n')).toBeNull();
  for (const pointer of ['/a/00', '/a/1', '/a/length', '/constructor', '/n/x', '/a/0/b/c'])
    expect(atPointer(document, pointer)).toBeUndefined();
});

describe('the target of a part', () => {
  test('has the values of the route and of the query, and no value changes its shape', () => {
    expect(namesIn('/p/{id}/r?page={?page}')).toEqual([
      { from: 'path', name: 'id' },
      { from: 'query', name: 'page' },
    ]);
    expect(partTarget('/p/{id}?page={?page}&x={?x}', { id: '7' }, 'page=2%263')).toBe('/p/7?page=2%263&x=');
    for (const id of ['', '.', '..', 'a/b', '..\\x']) expect(partTarget('/p/{id}', { id }, '')).toBeNull();
    expect(partTarget('/p/{toString}', {}, '')).toBeNull();
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (id, q) => {
        const target = partTarget('/p/{id}/end?q={?q}', { id }, new URLSearchParams({ q }).toString());
        if (target === null) return;
        const url = new URL(target, 'http://x');
        expect(url.pathname.split('/')).toHaveLength(4);
        expect(decodeURIComponent(url.pathname.split('/')[2]!)).toBe(id);
        expect([...url.searchParams.keys()]).toEqual(['q']);
      }),
    );
  });

  test('parameters are read where the route matches', () => {
    expect(readParams('GET /a/:id/b/:n', '/A/x%20y/b/2')).toEqual({ id: 'x y', n: '2' });
    expect(readParams('GET /a/:id', '/a/1/')).toEqual({ id: '1' });
    expect(readParams('* /a/:id/*', '/a/1/more/still')).toEqual({ id: '1' });
    for (const path of ['/a', '/b/1', '/a/1/2', '/a/%E0%A4%A']) expect(readParams('GET /a/:id', path)).toBeNull();
  });
});
