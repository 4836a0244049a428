import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { answering, differencesOf, rulesOf } from './answer.fixture.ts';
import { parseExactJson } from './exact-json.ts';
import { redactAnswer, redactDifference, redactPath, redactRequest, redactValue } from './redact.ts';

const jwt = 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl';
const secret = 'hunter2-hunter2';
const rules = rulesOf({ redact: ['$.email', '$.items[*].address', 'event account.made $.name'] });

describe('what is kept of a request', () => {
  const request = (more: object) => ({
    method: 'GET',
    path: '/a',
    headers: [],
    body: { kind: 'none' as const },
    ...more,
  });

  test('has no credentials in its headers, only what bears on the answer', () => {
    const headers: [string, string][] = [
      ['Authorization', `Bearer ${jwt}`],
      ['Cookie', `sid=${secret}`],
      ['X-Api-Key', secret],
      ['X-Forwarded-For', '10.0.0.1'],
      ['Accept', 'application/json'],
      ['If-None-Match', '"1"'],
      ['Accept-Language', `de, ${jwt}`],
    ];
    expect(redactRequest(request({ headers }), rules).headers).toEqual([
      ['accept', 'application/json'],
      ['if-none-match', '"1"'],
      ['accept-language', 'de, [redacted]'],
    ]);
  });

  test.each([
    [`/a?access_token=${secret}&page=2`, '/a?access_token=[redacted]&page=2'],
    [`/a?page=2&apiKey=${secret}`, '/a?page=2&apiKey=[redacted]'],
    [`/reset/${jwt}`, '/reset/[redacted]'],
    [`/a?q=${jwt}`, '/a?q=[redacted]'],
    ['/a?q=shoes&sort=price', '/a?q=shoes&sort=price'],
    ['/a?', '/a?'],
    ['/a', '/a'],
  ])('%s is kept as %s', (path, kept) => {
    expect(redactPath(path)).toBe(kept);
  });

  test('has no secrets in its body, of JSON or of a form', () => {
    const body = {
      kind: 'json' as const,
      value: { user: 'ada', password: secret, card_number: 4111, nested: { refreshToken: secret } },
    };
    expect(redactRequest(request({ body }), rules).body).toEqual({
      kind: 'json',
      value: {
        user: 'ada',
        password: '[redacted: text of 15]',
        card_number: '[redacted: number]',
        nested: { refreshToken: '[redacted: text of 15]' },
      },
    });
    const form = { kind: 'text' as const, text: `user=ada&password=${secret}` };
    expect(redactRequest(request({ body: form }), rules).body).toEqual({
      kind: 'text',
      text: 'user=ada&password=[redacted]',
    });
  });
});

describe('what is kept of an answer', () => {
  test('has no cookies, and no values at the paths of the slice file', () => {
    const kept = redactAnswer(
      answering(
        { email: 'a@b.c', items: [{ address: { street: 'x' }, n: 1 }, { address: null }], note: `see ${jwt}` },
        {
          headers: [
            ['Set-Cookie', `sid=${secret}`],
            ['X-CSRF-Token', secret],
            ['ETag', '"1"'],
            ['Location', `/a?token=${secret}`],
          ],
          latencyMs: 1.23456,
          effects: { events: [{ type: 'account.made', key: '7', payload: { name: 'Ada', id: 7 } }] },
        },
      ),
      rules,
    );
    expect(kept).toEqual({
      status: 200,
      headers: [
        ['etag', '"1"'],
        ['location', '/a?token=[redacted]'],
      ],
      body: {
        kind: 'json',
        value: {
          email: '[redacted: text of 5]',
          items: [{ address: '[redacted: object]', n: 1 }, { address: null }],
          note: 'see [redacted]',
        },
      },
      latencyMs: 1.2,
      effects: { events: [{ type: 'account.made', key: '7', payload: { name: '[redacted: text of 3]', id: 7 } }] },
    });
  });

  test('is bounded in bytes, whatever comes', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), fc.string({ maxLength: 3_000, unit: 'grapheme' }), (value, text) => {
        const bounds = { maxBodyBytes: 500, maxValueBytes: 100 };
        for (const body of [
          { kind: 'json' as const, value },
          { kind: 'text' as const, text },
        ]) {
          const kept = redactAnswer(answering(null, { body, headers: [['etag', text]] }), rules, bounds);
          expect(Buffer.byteLength(JSON.stringify(kept.body))).toBeLessThan(500 * 6 + 200);
          expect(Buffer.byteLength(kept.headers[0]![1])).toBeLessThan(140);
        }
      }),
    );
    const long = redactAnswer(answering(null, { body: { kind: 'text', text: 'ü'.repeat(5_000) } }), rules).body;
    expect(long).toMatchObject({ kind: 'cut', bytes: 10_000 });
    expect((long as { text: string }).text).not.toContain('�');
  });
});

describe('a value', () => {
  test('that is named like a secret is gone, wherever it stands and whatever it is', () => {
    const names = fc.constantFrom(
      'password',
      'passwd',
      'api_key',
      'accessToken',
      'Set-Cookie',
      'client_secret',
      'iban',
      'cvv',
    );
    const marked = fc.jsonValue().map((value) => ({ [secret]: value, and: secret }));
    fc.assert(
      fc.property(fc.jsonValue(), names, marked, (around, name, value) => {
        const shown = JSON.stringify(redactValue([{ around }, { deep: [{ [name]: value }] }], rules, { in: 'body' }));
        expect(shown).not.toContain(secret);
      }),
    );
  });

  test('of which nothing is secret stays as it is, exact numbers too', () => {
    const value = parseExactJson('{"a":[1,{"b":9007199254740993}],"c":"x","__proto__":{"d":null}}');
    expect(JSON.stringify(redactValue(value, rules, { in: 'body' }))).toBe(JSON.stringify(value));
  });
});

describe('a difference', () => {
  test('shows no secret either: its place says what it is', () => {
    const [one] = differencesOf({ user: { password: secret } }, { user: { password: `${secret}!` } });
    expect(redactDifference(one!, rules)).toEqual({
      path: '$.user.password',
      at: '$.user.password',
      kind: 'value',
      monolith: '[redacted: text of 15]',
      service: '[redacted: text of 16]',
    });
    const [missing] = differencesOf({ user: { password: secret } }, {});
    expect(JSON.stringify(redactDifference(missing!, rules))).not.toContain(secret);
    const [email] = differencesOf({ email: 'a@b.c' }, { email: 'x' }, {});
    expect(redactDifference(email!, rules)).toMatchObject({ monolith: '[redacted: text of 5]' });
    const [address] = differencesOf({ items: [{ address: { a: 1 } }] }, { items: [{ address: { a: 2 } }] });
    expect(redactDifference(address!, rules)).toMatchObject({ monolith: '[redacted: number]' });
  });

  test('is bounded', () => {
    const [one] = differencesOf({ a: 'x'.repeat(100_000) }, {});
    expect(Buffer.byteLength(JSON.stringify(redactDifference(one!, rules)))).toBeLessThan(1_300);
  });
});
