import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  compareVersions,
  formatRowMessage,
  formatVersion,
  initialVersion,
  joinKeyText,
  maxKeyTextBytes,
  parseRowMessage,
  parseVersion,
  partCount,
  partOf,
  type RowMessage,
  rowMessageOf,
  rowTopic,
} from './row-message.ts';

const message: RowMessage = {
  slice: 'catalog',
  table: 'products',
  op: 'upsert',
  key: { id: '42' },
  keyText: '42',
  image: { id: '42', name: 'Kettle', note: null },
  version: { epoch: 3, id: '18446744073709551615' },
  at: '2026-11-21T08:45:42.000001Z',
  writer: { user: 'shop@127.0.0.1', request: 'PUT /api/products/42' },
};

const version = fc.record({ epoch: fc.nat(3), id: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String) });

describe('a row message', () => {
  test('is read as it was written', () => {
    expect(parseRowMessage(formatRowMessage(message), 'test')).toEqual(message);
  });

  test('is refused with every fault named', () => {
    const bad = { ...message, op: 'delete', version: { epoch: -1, id: '007' }, at: 'yesterday' };
    expect(() => parseRowMessage(JSON.stringify(bad), 'queue q')).toThrow(
      /^queue q: .*version\.epoch.*version\.id.*at: must be an instant/,
    );
    expect(() => parseRowMessage(JSON.stringify({ ...message, op: 'delete' }), 'q')).toThrow(/image: must be null/);
    expect(() => parseRowMessage(JSON.stringify({ ...message, image: null }), 'q')).toThrow(/image: must hold the row/);
    expect(() => parseRowMessage('{', 'q')).toThrow('q: expected JSON, found "{"');
  });

  test('is made of the outbox row that a trigger wrote', () => {
    const row = {
      id: '18446744073709551615',
      epoch: 3,
      topic: 'catalog.products.upsert',
      subject: 'products',
      subjectKey: '42',
      op: 'upsert',
      payload: JSON.stringify({ key: message.key, image: message.image }),
      headers: JSON.stringify({ ...message.writer, traceparent: null }),
      createdAt: '2026-11-21 08:45:42.000001',
    };
    expect(rowMessageOf(row)).toEqual(message);
    expect(rowMessageOf({ ...row, headers: '{"user":"a@b","request":null}' }).writer).toEqual({ user: 'a@b' });
    expect(() => rowMessageOf({ ...row, payload: '{}' })).toThrow('outbox row 18446744073709551615 (products): key:');
  });
});

describe('a version', () => {
  test('is ordered by epoch and then by the number that its id is', () => {
    fc.assert(
      fc.property(version, version, (a, b) => {
        const [x, y] = [BigInt(a.epoch) * 2n ** 64n + BigInt(a.id), BigInt(b.epoch) * 2n ** 64n + BigInt(b.id)];
        expect(Math.sign(compareVersions(a, b))).toBe(x < y ? -1 : x > y ? 1 : 0);
      }),
    );
  });

  test('is never older than the initial one', () => {
    fc.assert(fc.property(version, (a) => compareVersions(a, initialVersion) >= 0));
  });

  test('is read as it was written', () => {
    fc.assert(fc.property(version, (a) => expect(parseVersion(formatVersion(a))).toEqual(a)));
    expect(() => parseVersion('3-4')).toThrow('expected <epoch>/<id>, found "3-4"');
  });
});

describe('a key text', () => {
  const parts = fc.array(fc.string({ unit: fc.constantFrom('~', '/', '0', '1', '2', 'a', 'é', '😀') }), {
    minLength: 1,
    maxLength: 4,
  });

  test('differs wherever the keys differ', () => {
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        fc.pre(a.length === b.length);
        expect(joinKeyText(a) === joinKeyText(b)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
      { numRuns: 1000 },
    );
  });

  test('is bounded, and differs still where it is cut', () => {
    const long = 'x'.repeat(maxKeyTextBytes);
    expect(joinKeyText([long])).toBe(long);
    expect(joinKeyText([`${long}y`])).toMatch(/^~2[0-9a-f]{64}$/);
    expect(joinKeyText([`${long}y`])).not.toBe(joinKeyText([`${long}z`]));
  });

  test('is spread over the parts', () => {
    const found = new Set(Array.from({ length: 500 }, (_, id) => partOf('products', String(id))));
    expect(found.size).toBe(partCount);
  });
});

test("a topic has three words whatever the table's name is", () => {
  expect(rowTopic('catalog', 'products', 'upsert')).toBe('catalog.products.upsert');
  fc.assert(fc.property(fc.string(), (name) => rowTopic('s', name, 'delete').split('.').length === 3));
  expect(rowTopic('s', 'a.b*#c d', 'delete')).toBe('s.a%2Eb%2A%23c%20d.delete');
});
