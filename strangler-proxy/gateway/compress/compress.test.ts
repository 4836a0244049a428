import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type AskedHow, compressedHead, headerIn, isCompressible } from './compressed-head.ts';
import { type Coding, codings, negotiate } from './negotiate.ts';

describe('what a client accepts', () => {
  test.each([
    [undefined, null],
    ['', null],
    ['gzip', 'gzip'],
    ['gzip, br;q=1.0, zstd', 'br'],
    ['gzip;q=1.0, br;q=0.5', 'gzip'],
    ['*', 'br'],
    ['*;q=0.1, br;q=0', 'zstd'],
    ['identity;q=1, gzip;q=0.5', null],
    ['identity', null],
    ['x-gzip', 'gzip'],
    ['br;q=2, gzip;q=0.2', 'gzip'],
    ['deflate, compress', null],
  ] as const)('%j: %s', (header, coding) => {
    expect(negotiate(header, codings)).toBe(coding);
  });

  test('is never given what it ruled out, and is given what it likes best', () => {
    const weight = fc.option(fc.integer({ min: 0, max: 10 }), { nil: undefined });
    fc.assert(
      fc.property(fc.record({ br: weight, zstd: weight, gzip: weight, '*': weight }), (wishes) => {
        const header = Object.entries(wishes)
          .flatMap(([coding, tenths]) => (tenths === undefined ? [] : [`${coding};q=${(tenths / 10).toFixed(1)}`]))
          .join(', ');
        const likes = (coding: Coding): number => wishes[coding] ?? wishes['*'] ?? 0;
        const found = negotiate(header, codings);
        const most = Math.max(...codings.map(likes));
        if (found === null) expect(most).toBe(0);
        else expect(likes(found)).toBe(most);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('the head of an answer', () => {
  const rules = { types: ['text/*', 'application/json', '*+xml'], minBytes: 100 };
  const asked: AskedHow = { method: 'GET', range: false, noTransform: false, coding: 'br' };
  const json = ['Content-Type', 'application/json; charset=utf-8'];

  test('says what became of the body, and nothing of what it was', () => {
    const found = compressedHead(
      {
        status: 200,
        rawHeaders: [...json, 'Content-Length', '500', 'ETag', '"a"', 'Vary', 'Accept', 'Accept-Ranges', 'bytes'],
      },
      asked,
      rules,
    );
    expect(found).toEqual({
      rawHeaders: [...json, 'ETag', 'W/"a"', 'Vary', 'Accept', 'Vary', 'Accept-Encoding', 'Content-Encoding', 'br'],
      body: 'compress',
      streamed: false,
    });
    const head = compressedHead({ status: 200, rawHeaders: json }, { ...asked, method: 'HEAD' }, rules);
    expect([head.body, headerIn(head.rawHeaders, 'content-encoding')]).toEqual(['as it is', 'br']);
    const plain = compressedHead({ status: 200, rawHeaders: json }, { ...asked, coding: null }, rules);
    expect(plain.rawHeaders).toEqual([...json, 'Vary', 'Accept-Encoding']);
  });

  test.each([
    ['a small one', 200, ['Content-Length', '99'], {}],
    ['a part', 206, [], {}],
    ['one that says it is a part', 200, ['Content-Range', 'bytes 0-1/5'], {}],
    ['one that is encoded', 200, ['Content-Encoding', 'gzip'], {}],
    ['one that must not be transformed', 200, ['Cache-Control', 'max-age=1, no-transform'], {}],
    ['no content', 204, [], {}],
    ['not modified', 304, [], {}],
    ['one to a request of a range', 200, [], { range: true }],
    ['one to a request that forbids it', 200, [], { noTransform: true }],
  ] as const)('of %s stays as it is', (_, status, more, how) => {
    const rawHeaders = [...json, ...more];
    expect(compressedHead({ status, rawHeaders }, { ...asked, ...how }, rules)).toEqual({
      ...{ rawHeaders, body: 'as it is', streamed: false },
    });
  });

  test('never leaves a length with a body that is compressed', () => {
    const pair = fc.constantFrom(
      ...[json, ['content-length', '500'], ['ETag', '"x"'], ['Vary', '*'], ['x', 'y'], ['content-type', 'image/png']],
    );
    fc.assert(
      fc.property(fc.array(pair), fc.constantFrom(200, 206, 304, 404), (pairs, status) => {
        const { rawHeaders, body } = compressedHead({ status, rawHeaders: pairs.flat() }, asked, rules);
        if (body === 'as it is') return;
        expect(headerIn(rawHeaders, 'content-length')).toBeUndefined();
        expect(headerIn(rawHeaders, 'vary')).toMatch(/\*|accept-encoding/i);
      }),
    );
  });

  test('types are told by name, by kind and by suffix, and a stream of events is none of them', () => {
    for (const type of ['text/html', 'TEXT/css; x', 'application/json', 'image/svg+xml'])
      expect(isCompressible(type, rules.types)).toBe(true);
    for (const type of [undefined, '', 'image/png', 'text/event-stream', 'application/jsonx'])
      expect(isCompressible(type, rules.types)).toBe(false);
  });
});
