import { describe, expect, test } from '@jest/globals';
import type { Request } from 'express';
import fc from 'fast-check';
import { z } from 'zod';
import { Problem } from './problem.ts';
import { booleanText, idText, integerText, parseBody, parseParams, parsePart, parseQuery } from './validate.ts';

function errorsOf(parse: () => unknown) {
  try {
    parse();
    return [];
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    expect(error.toJSON()).toMatchObject({ type: 'about:blank', title: 'Validation failed', status: 400 });
    return error.errors ?? [];
  }
}

const said = (schema: z.ZodType, value: unknown) =>
  errorsOf(() => parsePart('body', schema, value)).map(({ path, message }) => `${path}: ${message}`);

/** The contract: another service says the same, letter for letter. */
const contract: [z.ZodType, unknown, string][] = [
  [z.string(), undefined, 'is required'],
  [z.string(), null, 'must be a string'],
  [z.string(), 1, 'must be a string'],
  [z.number(), '1', 'must be a number'],
  [z.number(), Number.NaN, 'must be a number'],
  [z.int(), 1.5, 'must be an integer'],
  [z.int(), 'x', 'must be a number'],
  [z.int(), 2 ** 60, 'must be at most 9007199254740991'],
  [z.int().min(1), 0, 'must be at least 1'],
  [z.int().max(5), 6, 'must be at most 5'],
  [z.number().gt(0), 0, 'must be greater than 0'],
  [z.number().positive(), -1, 'must be greater than 0'],
  [z.number().lt(1), 1, 'must be less than 1'],
  [z.number().multipleOf(5), 7, 'must be a multiple of 5'],
  [z.boolean(), 'true', 'must be true or false'],
  [z.array(z.string()), {}, 'must be an array'],
  [z.array(z.string()).min(1), [], 'must have at least 1 item'],
  [z.array(z.string()).max(2), ['a', 'b', 'c'], 'must have at most 2 items'],
  [z.array(z.string()).length(2), ['a'], 'must have exactly 2 items'],
  [z.string().min(1), '', 'must be at least 1 character long'],
  [z.string().max(3), 'abcd', 'must be at most 3 characters long'],
  [z.string().length(3), 'ab', 'must be exactly 3 characters long'],
  [z.email(), 'nobody', 'must be an e-mail address'],
  [z.string().email(), 'nobody', 'must be an e-mail address'],
  [z.uuid(), 'x', 'must be a UUID'],
  [z.url(), 'x', 'must be a URL'],
  [z.iso.datetime(), 'x', 'must be an ISO 8601 date and time'],
  [z.iso.date(), 'x', 'must be an ISO 8601 date'],
  [z.string().regex(/^[A-Z]{3}$/), 'eur', 'does not have the expected format'],
  [z.string().startsWith('sk_'), 'x', 'must start with "sk_"'],
  [z.enum(['a', 'b']), 'c', 'must be one of "a", "b"'],
  [z.enum(['a', 'b']), undefined, 'is required'],
  [z.literal('EUR'), 'USD', 'must be "EUR"'],
  [z.date().min(new Date(0)), new Date(-1), 'must be at least 1970-01-01T00:00:00.000Z'],
  [z.union([z.string(), z.number()]), true, 'must be a string or a number'],
  [z.union([z.object({ sku: z.string() }), z.object({ id: z.int() })]), {}, 'does not match any of the accepted forms'],
  [z.union([z.string(), z.number()]), undefined, 'is required'],
  [z.object({}), null, 'must be an object'],
  [z.object({}), [], 'must be an object'],
  [z.object({}), undefined, 'is required'],
  [z.string().refine(() => false), 'x', 'is not valid'],
  [z.string().refine(() => false, 'must be taken'), 'x', 'must be taken'],
];

test.each(contract)('%# a bad value is answered with one message that does not change', (schema, value, message) => {
  expect(said(z.object({ value: schema }), { value })).toEqual([`value: ${message}`]);
});

describe('parseBody', () => {
  const product = z.strictObject({
    name: z.string().min(1),
    price_cents: z.int().min(1),
    tags: z.array(z.strictObject({ id: z.int() })).optional(),
  });

  test('gives the typed value', () => {
    const body = { name: 'Cup', price_cents: 100 };
    const value: { name: string; price_cents: number } = parseBody(product, { body } as Request);
    expect(value).toEqual(body);
  });

  test('tells every error at once, by path, unknown keys each on their own', () => {
    const body = { price_cents: 0, tags: [{ id: 1 }, { id: 'x', extra: 1 }], zebra: 1, apple: 2 };
    expect(errorsOf(() => parseBody(product, { body } as Request))).toEqual([
      { in: 'body', path: 'apple', message: 'is not known' },
      { in: 'body', path: 'name', message: 'is required' },
      { in: 'body', path: 'price_cents', message: 'must be at least 1' },
      { in: 'body', path: 'tags[1].extra', message: 'is not known' },
      { in: 'body', path: 'tags[1].id', message: 'must be a number' },
      { in: 'body', path: 'zebra', message: 'is not known' },
    ]);
  });

  test('refuses a body of another media type with 415, and a missing one with 400', () => {
    const headers = { 'content-length': '4', 'content-type': 'text/plain' };
    const text = { headers, is: () => false } as unknown as Request;
    expect(() => parseBody(product, text)).toThrow(expect.objectContaining({ status: 415 }));
    const none = { headers: {}, is: () => false } as unknown as Request;
    expect(errorsOf(() => parseBody(product, none))).toEqual([{ in: 'body', path: '', message: 'is required' }]);
  });

  test('is not led astray by __proto__', () => {
    const body = JSON.parse('{"name":"Cup","price_cents":1,"__proto__":{"admin":true}}');
    expect(errorsOf(() => parseBody(product, { body } as Request))).toEqual([
      { in: 'body', path: '__proto__', message: 'is not known' },
    ]);
  });

  test('throws nothing but a problem, of bounded size, whatever the body is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (body) => {
        const errors = errorsOf(() => parseBody(product, { body, headers: {} } as Request));
        expect(errors.length).toBeLessThanOrEqual(100);
        for (const { message } of errors) expect(message).toMatch(/^(is|must|does) /);
      }),
    );
    const long = { name: 'a', price_cents: 1, tags: Array.from({ length: 5_000 }, () => null) };
    expect(errorsOf(() => parseBody(product, { body: long } as Request))).toHaveLength(100);
  });
});

describe('parseQuery and parseParams', () => {
  test('read numbers and truth values from texts', () => {
    const schema = z.strictObject({
      limit: integerText({ min: 1, max: 100 }).default(20),
      all: booleanText().default(false),
    });
    expect(parseQuery(schema, { query: { limit: '5', all: 'true' } } as unknown as Request)).toEqual({
      limit: 5,
      all: true,
    });
    expect(parseQuery(schema, { query: Object.create(null) } as Request)).toEqual({ limit: 20, all: false });
  });

  test('refuse what only looks like a number, what is out of bounds, what is given twice and what is not known', () => {
    const schema = z.strictObject({ limit: integerText({ min: 1, max: 100 }), sort: z.enum(['name']).optional() });
    const said = (query: object) =>
      errorsOf(() => parseQuery(schema, { query } as Request)).map(({ path, message }) => `${path} ${message}`);
    for (const limit of ['', ' 1', '1.0', '0x10', '1e2', '9'.repeat(17)]) {
      expect(said({ limit })).toEqual(['limit must be an integer']);
    }
    expect(said({ limit: '0' })).toEqual(['limit must be at least 1']);
    expect(said({ limit: '101' })).toEqual(['limit must be at most 100']);
    expect(said({ limit: ['1', '2'] })).toEqual(['limit must be given once']);
    expect(said({ limit: '1', sort: ['name', 'name'] })).toEqual(['sort must be given once']);
    expect(said({ limit: '1', Limit: '1' })).toEqual(['Limit is not known']);
  });

  test('idText takes every positive integer, as it is written, and nothing else', () => {
    const schema = z.object({ id: idText() });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (id) => {
        expect(parseParams(schema, { params: { id: `${id}` } } as unknown as Request).id).toBe(id);
      }),
    );
    fc.assert(
      fc.property(
        fc.string().filter((text) => !/^0*[1-9]\d*$/.test(text)),
        (id) => {
          expect(errorsOf(() => parseParams(schema, { params: { id } } as unknown as Request))).toHaveLength(1);
        },
      ),
    );
  });
});
