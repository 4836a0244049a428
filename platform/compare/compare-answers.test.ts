import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { answering, rulesOf } from './answer.fixture.ts';
import type { ComparedAnswer, ComparedBody } from './answer.ts';
import { compareAnswers } from './compare-answers.ts';

const told = (monolith: ComparedAnswer, service: ComparedAnswer, compare = {}, endpoint?: string) =>
  compareAnswers(monolith, service, rulesOf(compare, endpoint)).differences.map(({ kind, path }) => `${kind} ${path}`);

const withHeaders = (...headers: [string, string][]) => answering(null, { headers });
const headerTold = (name: string, one: string | null, other: string | null, compare = {}) =>
  told(
    withHeaders(...(one === null ? [] : [[name, one] as [string, string]])),
    withHeaders(...(other === null ? [] : [[name, other] as [string, string]])),
    compare,
  );

const bodies: fc.Arbitrary<ComparedBody> = fc.oneof(
  fc.constant<ComparedBody>({ kind: 'none' }),
  fc.jsonValue().map((value): ComparedBody => ({ kind: 'json', value: JSON.parse(JSON.stringify(value)) })),
  fc.string().map((text): ComparedBody => ({ kind: 'text', text })),
  fc.record({ kind: fc.constant('bytes' as const), length: fc.nat(), sha256: fc.string() }),
  fc.constantFrom<ComparedBody>({ kind: 'skipped', why: 'too-large' }, { kind: 'skipped', why: 'streamed' }),
);
const names = fc.constantFrom(
  'Content-Type',
  'etag',
  'Vary',
  'Cache-Control',
  'Link',
  'Location',
  'X-Other',
  'WWW-Authenticate',
);
const answers: fc.Arbitrary<ComparedAnswer> = fc.record({
  status: fc.constantFrom(200, 201, 304, 404, 500),
  headers: fc.array(fc.tuple(names, fc.string()), { maxLength: 6 }),
  body: bodies,
  latencyMs: fc.nat(),
  effects: fc.option(
    fc.record({
      events: fc.array(
        fc.record({ type: fc.constantFrom('a', 'b'), key: fc.constantFrom('1', '2'), payload: fc.jsonValue() }),
        { maxLength: 4 },
      ),
    }),
  ),
});

describe('laws', () => {
  test('an answer equals itself, whatever it is', () => {
    fc.assert(
      fc.property(answers, (answer) => {
        expect(told(answer, structuredClone(answer))).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test('as much differs one way as the other, and where', () => {
    fc.assert(
      fc.property(answers, answers, (one, other) => {
        const places = (list: string[]) => list.map((text) => text.replace(/^(missing|extra) /, 'one-sided ')).sort();
        expect(places(told(one, other))).toEqual(places(told(other, one)));
      }),
      { numRuns: 500 },
    );
  });

  test('ignoring everything leaves nothing, and everything is counted', () => {
    const by = { route: null, reason: 'x', by: 'y' };
    const headers = rulesOf().headers.map((name) => ({ path: `header ${name}`, ...by }));
    const ignore = [...['status', 'body', 'event *'].map((path) => ({ path, ...by })), ...headers];
    fc.assert(
      fc.property(answers, answers, (one, other) => {
        const { differences, ignored } = compareAnswers(one, other, rulesOf({ ignore }));
        expect(differences).toEqual([]);
        expect(ignored.length > 0).toBe(told(one, other).length > 0);
      }),
      { numRuns: 300 },
    );
  });

  test('latency is no difference', () => {
    fc.assert(
      fc.property(answers, fc.nat(), (answer, latencyMs) => told(answer, { ...answer, latencyMs }).length === 0),
      { numRuns: 100 },
    );
  });
});

describe('the status', () => {
  test('that differs is told in the monolith’s terms', () => {
    expect(compareAnswers(answering(1), answering(1, { status: 404 }), rulesOf()).differences).toEqual([
      { path: 'status', at: 'status', kind: 'status', monolith: 200, service: 404 },
    ]);
  });
});

describe('headers', () => {
  test.each<[string, string, string]>([
    ['content-type', 'application/json; charset=utf-8', 'application/json;charset=UTF-8'],
    ['content-type', 'Text/HTML; a=1; b="2"', 'text/html; b=2; a=1'],
    ['vary', 'Accept, Origin', 'origin,ACCEPT'],
    ['vary', 'Accept, Accept', 'Accept'],
    ['cache-control', 'max-age=60, public', 'Public,  Max-Age="60"'],
    ['link', '</a>; rel="next", </b,c>; rel=prev', '</b,c>; rel="prev", </a>; rel=next'],
    ['www-authenticate', 'Basic realm="a, b", Bearer', 'Bearer, Basic realm="a, b"'],
    ['etag', '"a"', '"a"'],
  ])('%s: %s means the same as %s', (name, one, other) => {
    expect(headerTold(name, one, other)).toEqual([]);
    expect(headerTold(name.toUpperCase(), other, one)).toEqual([]);
  });

  test.each<[string, string | null, string | null]>([
    ['content-type', 'application/json', 'application/json; charset=utf-8'],
    ['content-type', 'application/json', 'application/problem+json'],
    ['vary', 'Accept', 'Accept, Origin'],
    ['cache-control', 'max-age=60', 'max-age=61'],
    ['cache-control', 'no-cache', 'no-store'],
    ['link', '</a>; rel=next', '</A>; rel=next'],
    ['link', '</a>; rel=next', '</a>; rel=prev'],
    ['www-authenticate', 'Bearer realm="a"', 'Bearer realm="A"'],
    ['etag', '"a"', 'W/"a"'],
    ['location', '/a', '/b'],
    ['retry-after', '1', null],
    ['etag', null, '"a"'],
  ])('%s: %s does not mean the same as %s', (name, one, other) => {
    expect(headerTold(name, one, other)).toEqual([`header header ${name}`]);
  });

  test('are compared only where the slice file names them', () => {
    expect(headerTold('x-powered-by', 'a', 'b')).toEqual([]);
    expect(headerTold('X-Powered-By', 'a', 'b', { headers: ['x-powered-by'] })).toEqual(['header header x-powered-by']);
    expect(headerTold('etag', '"a"', '"b"', { headers: [] })).toEqual([]);
  });

  test('of one name on several lines are one list', () => {
    expect(told(withHeaders(['Vary', 'a'], ['vary', 'b']), withHeaders(['vary', 'b, a']))).toEqual([]);
  });

  test('are told with both values, and null where a side sends none', () => {
    expect(compareAnswers(withHeaders(), withHeaders(['ETag', '"a"']), rulesOf()).differences).toEqual([
      { path: 'header etag', at: 'header etag', kind: 'header', monolith: null, service: '"a"' },
    ]);
  });
});

describe('bodies', () => {
  const body = (one: ComparedBody) => answering(null, { body: one });

  test('of another kind differ as wholes', () => {
    expect(told(answering({ a: 1 }), body({ kind: 'none' }))).toEqual(['body body']);
    expect(told(body({ kind: 'text', text: 'a' }), answering('a'))).toEqual(['body body']);
  });

  test('of text differ to the letter, of bytes by their digest', () => {
    expect(told(body({ kind: 'text', text: 'a' }), body({ kind: 'text', text: 'a ' }))).toEqual(['body body']);
    const bytes = (sha256: string): ComparedBody => ({ kind: 'bytes', length: 3, sha256 });
    expect(told(body(bytes('a')), body(bytes('b')))).toEqual(['body body']);
    expect(told(body(bytes('a')), body(bytes('a')))).toEqual([]);
  });

  test('that were looked at on one side only differ', () => {
    const skipped: ComparedBody = { kind: 'skipped', why: 'too-large' };
    expect(told(body(skipped), answering(1))).toEqual(['body body']);
    expect(told(body(skipped), body({ kind: 'skipped', why: 'streamed' }))).toEqual([]);
  });

  test('that are ignored as wholes are ignored within too', () => {
    const compare = { ignore: [{ path: 'body', route: null, reason: 'x', by: 'y' }] };
    expect(told(answering({ a: 1 }), answering({ a: 2 }), compare)).toEqual([]);
    expect(told(answering({ a: 1 }), body({ kind: 'none' }), compare)).toEqual([]);
  });
});

describe('an ignore rule', () => {
  const rule = (path: string, route: string | null = null) => ({ ignore: [{ path, route, reason: 'x', by: 'y' }] });

  test('holds for all that its path holds, and for its route only', () => {
    const [one, other] = [answering({ meta: { a: 1, b: [1] } }), answering({ meta: { a: 2, b: [2] } })];
    expect(told(one, other, rule('$.meta'))).toEqual([]);
    expect(told(one, other, rule('$.meta.a'))).toEqual(['value $.meta.b[*]']);
    expect(told(one, other, rule('$.meta', 'GET /a'), 'GET /a')).toEqual([]);
    expect(told(one, other, rule('$.meta', 'GET /a'), 'GET /b')).toHaveLength(2);
    expect(told(one, other, rule('$.meta', 'POST,PUT *'), 'PUT /b')).toEqual([]);
    expect(told(one, other, rule('$.meta', 'POST,PUT /b'), 'PUT /b')).toEqual([]);
    expect(told(one, other, rule('$.meta', 'POST,PUT /a'), 'PUT /b')).toHaveLength(2);
    expect(told(one, other, rule('$.meta', 'POST,PUT *'), 'GET /b')).toHaveLength(2);
    expect(told(one, other, rule('$.meta', 'GET /a'))).toHaveLength(2);
  });

  test('is counted by its name, each hit', () => {
    const compared = compareAnswers(
      answering({
        a: [
          { etag: 1, n: 1 },
          { etag: 2, n: 1 },
        ],
        x: 1,
      }),
      answering({
        a: [
          { etag: 3, n: 1 },
          { etag: 4, n: 1 },
        ],
        x: 2,
      }),
      rulesOf(
        {
          ignore: [
            { path: '$..etag', route: null, reason: 'r', by: 'b' },
            { path: '$.x', route: 'GET /a', reason: 'r', by: 'b' },
          ],
        },
        'GET /a',
      ),
    );
    expect(compared).toEqual({
      differences: [],
      ignored: [
        { rule: '$..etag', count: 2 },
        { rule: '$.x of GET /a', count: 1 },
      ],
      untold: 0,
    });
  });

  test('within a set does not keep equal elements apart', () => {
    const compare = { ...rule('$.tags[*].at'), unordered: ['$.tags'] };
    const one = answering({
      tags: [
        { n: 1, at: 1 },
        { n: 2, at: 2 },
        { n: 3, at: 3 },
      ],
    });
    const other = answering({
      tags: [
        { n: 3, at: 9 },
        { n: 1, at: 8 },
        { n: 2, at: 7 },
      ],
    });
    const { differences, ignored } = compareAnswers(one, other, rulesOf(compare));
    expect(differences).toEqual([]);
    expect(ignored).toEqual([{ rule: '$.tags[*].at', count: 3 }]);
  });
});

describe('events', () => {
  const events = (...list: [type: string, key: string, payload?: unknown][]) =>
    answering(null, { effects: { events: list.map(([type, key, payload = {}]) => ({ type, key, payload })) } });

  test('are not compared where a side does not tell', () => {
    expect(told(events(['a', '1']), answering(null))).toEqual([]);
  });

  test('that only one side would have told are differences, each', () => {
    expect(told(events(['product.changed', '1']), events())).toEqual(['event event product.changed']);
    expect(told(events(), events(['a', '1'], ['a', '2']))).toEqual(['event event a', 'event event a']);
    expect(told(events(['a', '1']), events(['a', '2']))).toHaveLength(2);
  });

  test('are compared within, and named by type and path', () => {
    const [one, other] = [events(['p.c', '1', { price: 1, at: 1 }]), events(['p.c', '1', { price: 2, at: 2 }])];
    expect(told(one, other)).toEqual(['value event p.c $.price', 'value event p.c $.at']);
    const ignore = [{ path: 'event p.c $.at', route: null, reason: 'x', by: 'y' }];
    expect(told(one, other, { ignore })).toEqual(['value event p.c $.price']);
    expect(told(one, other, { ignore: [{ ...ignore[0], path: 'event *' }] })).toEqual([]);
    expect(told(one, other, { ignore: [{ ...ignore[0], path: '$.price' }] })).toHaveLength(2);
  });

  test('of different keys have no order, those of one key have', () => {
    expect(told(events(['a', '1'], ['b', '2']), events(['b', '2'], ['a', '1']))).toEqual([]);
    expect(told(events(['a', '1', 1], ['a', '1', 2]), events(['a', '1', 2], ['a', '1', 1]))).toHaveLength(2);
  });
});
