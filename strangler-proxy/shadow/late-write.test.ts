import { describe, expect, test } from '@jest/globals';
import type { Difference } from '@strangler/platform/compare/compare-answers.ts';
import fc from 'fast-check';
import { cameLate, createLateWrites, mostLate, readingOf } from './late-write.ts';

const at = (...paths: string[]) => paths.map((path) => ({ path }) as Difference);

describe('a difference of a write', () => {
  test('came late where a later dry run has the monolith’s value there, whatever the write itself has changed since', () => {
    expect(cameLate(at('$.category.name'), [])).toBe(true);
    expect(cameLate(at('$.category.name'), at('$.version', '$.updated_at', '$.category.names'))).toBe(true);
  });

  test('did not where it is there still, or where nothing can be said of it any more', () => {
    for (const later of ['$.category.name', '$.category', '$', 'body', 'status']) {
      expect(cameLate(at('$.category.name'), at(later))).toBe(false);
    }
    expect(cameLate(at('$.items[3].price'), at('$.items'))).toBe(false);
    expect(cameLate(at('$.a', '$.b'), at('$.b'))).toBe(false);
    expect(cameLate(at('event product.changed $.price'), at('event product.changed'))).toBe(false);
    expect(cameLate(at('$.ab'), at('$.a'))).toBe(true);
  });
});

describe('what was written', () => {
  const write = (method: string, target: string) => ({
    ...{ method, target, body: Buffer.from('{}') },
    headers: {
      Authorization: 'Bearer a',
      'Content-Type': 'application/json',
      'If-Match': '"1"',
      'Idempotency-Key': 'k',
    },
  });
  const answer = (status: number, location?: string) => ({
    status,
    headers: location === undefined ? [] : [['location', location] as const],
  });

  test('is looked at by the same caller where the answer says that it is, or where a change was sent to', () => {
    const read = { method: 'GET', headers: { Authorization: 'Bearer a' }, body: null };
    expect(readingOf(write('POST', '/api/products'), answer(201, '/api/products/7'))).toEqual({
      ...{ ...read, target: '/api/products/7' },
    });
    for (const method of ['PUT', 'PATCH']) {
      expect(readingOf(write(method, '/api/products/7'), answer(200))).toEqual({ ...read, target: '/api/products/7' });
    }
  });

  test('is looked at nowhere where nobody says where it is, or another server, or nothing was written', () => {
    expect(readingOf(write('POST', '/api/products'), answer(201))).toBeNull();
    for (const elsewhere of ['//evil.example/x', 'http://evil.example/x', 'x']) {
      expect(readingOf(write('POST', '/api/products'), answer(201, elsewhere))).toBeNull();
    }
    expect(readingOf(write('PUT', '/api/products/7'), answer(412))).toBeNull();
  });
});

describe('differences that came late', () => {
  test('are the first two of a path and one in twenty, whatever the order: what is wrong each time is told', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 400 }), (differs) => {
        const late = createLateWrites();
        let allowed = 0;
        for (const [at, one] of differs.entries()) {
          late.compared('PUT /a');
          if (one && late.allow('PUT /a', ['$.version'])) allowed += 1;
          expect(allowed).toBeLessThanOrEqual(mostLate.first + (at + 1) * mostLate.share);
        }
        const total = differs.filter(Boolean).length;
        expect(allowed).toBeGreaterThanOrEqual(Math.min(total, mostLate.first));
      }),
    );
  });

  test('are counted by endpoint and path, and of a bounded number of endpoints', () => {
    const late = createLateWrites(2);
    const allowed = (endpoint: string, path: string) => late.allow(endpoint, [path]);
    expect([1, 2, 3].map(() => allowed('PUT /a', '$.x'))).toEqual([true, true, false]);
    expect(allowed('PUT /a', '$.y')).toBe(true);
    expect(allowed('PUT /b', '$.x')).toBe(true);
    expect(allowed('PUT /a', '$.x')).toBe(false);
    for (const endpoint of ['PUT /c', 'PUT /d']) allowed(endpoint, '$.x');
    expect(allowed('PUT /a', '$.x')).toBe(true);
  });
});
