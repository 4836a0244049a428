import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { deepestJson, readBody } from './answer.ts';
import { decimalOf, nestsDeeperThan, parseExactJson } from './exact-json.ts';

const json = { contentType: 'application/json; charset=utf-8' };
const text = JSON.stringify({ a: [1, 'ü'] });
const read = { kind: 'json', value: { a: [1, 'ü'] } };

describe('a body', () => {
  test('without bytes is none, whatever its head says', () => {
    expect(readBody({ ...json, contentEncoding: 'gzip' }, Buffer.alloc(0))).toEqual({ kind: 'none' });
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['identity', (bytes) => bytes],
    ['GZIP', gzipSync],
    ['deflate, gzip', (bytes) => gzipSync(deflateSync(bytes))],
  ])('in %s is decoded', (contentEncoding, encode) => {
    expect(readBody({ ...json, contentEncoding }, encode(Buffer.from(text)))).toEqual(read);
  });

  test('in an encoding that is unknown or broken is skipped', () => {
    const skipped = { kind: 'skipped', why: 'undecodable' };
    expect(readBody({ ...json, contentEncoding: 'zstd-2' }, Buffer.from(text))).toEqual(skipped);
    expect(readBody({ ...json, contentEncoding: 'gzip' }, Buffer.from(text))).toEqual(skipped);
    expect(readBody({ ...json, contentEncoding: 'br' }, brotliCompressSync(text).subarray(0, 5))).toEqual(skipped);
  });

  test('that grows beyond the bound is skipped before it has grown', () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000));
    expect(readBody({ ...json, contentEncoding: 'gzip' }, bomb)).toEqual({ kind: 'skipped', why: 'too-large' });
    expect(readBody(json, Buffer.from(text), 5)).toEqual({ kind: 'skipped', why: 'too-large' });
    expect(readBody(json, Buffer.from(text), text.length + 1)).toEqual(read);
  });

  test.each(['application/json', 'application/problem+json', 'Application/Vnd.x+JSON;v=1', 'text/json'])(
    'of type %s is JSON',
    (contentType) => {
      const kind = contentType === 'text/json' ? 'json' : 'json';
      expect(readBody({ contentType }, Buffer.from('{"a":1}'))).toEqual({ kind, value: { a: 1 } });
    },
  );

  test('that is said to be JSON and is not is text', () => {
    expect(readBody(json, Buffer.from('{"a":'))).toEqual({ kind: 'text', text: '{"a":' });
  });

  test('of text is text, of anything else is known by its digest', () => {
    expect(readBody({ contentType: 'text/html' }, Buffer.from('<p>'))).toEqual({ kind: 'text', text: '<p>' });
    expect(readBody({ contentType: 'image/png' }, Buffer.from('x'))).toMatchObject({ kind: 'bytes', length: 1 });
    expect(readBody({}, Buffer.from('x'))).toMatchObject({ kind: 'bytes' });
    expect(readBody({ contentType: 'text/plain' }, Buffer.from([0xff, 0xfe]))).toMatchObject({
      kind: 'bytes',
      length: 2,
    });
  });

  test('of JSON nested too deep is text: it can be compared without a stack', () => {
    const nested = (depth: number) => Buffer.from(`${'['.repeat(depth)}1${']'.repeat(depth)}`);
    expect(readBody(json, nested(deepestJson)).kind).toBe('json');
    expect(readBody(json, nested(deepestJson + 1)).kind).toBe('text');
    expect(readBody(json, nested(100_000)).kind).toBe('text');
  });

  test('of any bytes under any head is read without throwing', () => {
    const encodings = fc.constantFrom('gzip', 'br', 'deflate', 'identity', '', 'x');
    const types = fc.constantFrom('application/json', 'text/plain', 'image/png', '', ';;');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), encodings, types, (bytes, contentEncoding, contentType) => {
        expect(readBody({ contentType, contentEncoding }, Buffer.from(bytes)).kind).toEqual(expect.any(String));
      }),
    );
  });
});

describe('exact JSON', () => {
  test('is what JSON.parse gives, where a double holds the numbers', () => {
    fc.assert(
      fc.property(fc.json(), (source) => {
        expect(JSON.stringify(parseExactJson(source))).toBe(JSON.stringify(JSON.parse(source)));
      }),
      { numRuns: 300 },
    );
  });

  test('keeps every digit of the others', () => {
    for (const source of [
      '[9007199254740993]',
      '[0.1234567890123456789]',
      '[1e400]',
      '[-123456789012345678901234567890]',
    ]) {
      expect(JSON.stringify(parseExactJson(source))).toBe(source);
    }
    expect(parseExactJson('nonsense')).toBeUndefined();
  });

  test('gives a decimal one spelling', () => {
    const same = [
      ['1', '1.0', '10e-1', '0.1e1', '+1', '001'],
      ['0', '-0', '0.00', '0e5'],
      ['-1.5', '-15e-1', '-1.50'],
    ];
    for (const spellings of same) expect(new Set(spellings.map(decimalOf)).size).toBe(1);
    for (const none of ['', '.', 'a', '1a', '1e', '--1', 'NaN', 'Infinity']) expect(decimalOf(none)).toBeNull();
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        (one, other) => {
          expect(decimalOf(String(one)) === decimalOf(String(other))).toBe(one === other);
        },
      ),
    );
  });

  test('counts brackets outside of texts only', () => {
    expect(nestsDeeperThan('["[[[[", "\\"[[["]', 1)).toBe(false);
    expect(nestsDeeperThan('[{"a":[]}]', 2)).toBe(true);
    expect(nestsDeeperThan('[][][][]', 1)).toBe(false);
  });
});
