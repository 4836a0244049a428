import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type CacheRequest, noFallback, type StoredAnswer } from './answer.ts';
import { bypassOf } from './bypass.ts';
import { deltaSeconds, mostSeconds, parseCacheControl, secondsOf } from './cache-control.ts';
import { type CacheSubject, primaryKey, selectedBy, selects, variantKey } from './cache-key.ts';
import { formatCacheStatus } from './cache-status.ts';
import { decodeEntry, encodeEntry } from './entry.ts';
import { currentAgeS, standingOf } from './freshness.ts';
import { mayServeOnError, reuse } from './reuse.ts';
import { createSharedFetches } from './shared-fetches.ts';
import { notStorable, varyNames } from './storable.ts';
import { clientHasIt, freshened, headersOf304, isAbout, validationHeaders } from './validators.ts';
import { maySee, writerOf, wroteAtCookie, wroteAtOf, wroteAtSetCookie } from './writers.ts';

const startMs = Date.parse('2026-01-01T00:00:00Z');
const httpDate = (ms: number): string => new Date(ms).toUTCString();

const answerOf = (headers: [string, string][], over: Partial<StoredAnswer> = {}): StoredAnswer => ({
  status: 200,
  headers,
  requestedAtMs: startMs,
  receivedAtMs: startMs,
  body: Buffer.from('body'),
  selectedBy: [],
  fallback: noFallback,
  ...over,
});
const get = (headers: Record<string, string> = {}): CacheRequest => ({ method: 'GET', headers });
const rules = { authorized: true, fallback: noFallback };

describe('Cache-Control', () => {
  test('is read whatever its case, quotes and white space, and what cannot be read is passed over', () => {
    const read = parseCacheControl(' Max-Age="60" ,,no-cache="a, b", public;x , @@@, s-maxage=5,private');
    expect([...read]).toEqual([
      ['max-age', '60'],
      ['no-cache', 'a, b'],
      ['public', null],
      ['s-maxage', '5'],
      ['private', null],
    ]);
  });

  test('counts the stricter of two, and a bound that cannot be read as 0', () => {
    expect(secondsOf(parseCacheControl('max-age=10, max-age=3'), 'max-age')).toBe(3);
    for (const broken of ['max-age', 'max-age=', 'max-age=-1', 'max-age=1.5', 'max-age=abc', 'max-age=5, max-age=x']) {
      expect(secondsOf(parseCacheControl(broken), 'max-age')).toBe(0);
    }
    expect(deltaSeconds('99999999999999999999')).toBe(mostSeconds);
  });

  test('of any text is read, and no directive of a readable one is lost', () => {
    const token = fc.stringMatching(/^[a-z][a-z-]{0,8}$/);
    const one = fc.oneof(
      token.map((name) => [name, name] as const),
      fc.tuple(token, fc.nat(9999)).map(([name, seconds]) => [name, `${name}=${seconds}`] as const),
      fc.tuple(token, fc.stringMatching(/^[a-z, ]{0,8}$/)).map(([name, text]) => [name, `${name}="${text}"`] as const),
    );
    fc.assert(
      fc.property(fc.array(one, { maxLength: 6 }), (all) => {
        const read = parseCacheControl(all.map(([, text]) => text).join(', '));
        expect([...read.keys()].sort()).toEqual([...new Set(all.map(([name]) => name))].sort());
      }),
      { numRuns: 500 },
    );
    fc.assert(fc.property(fc.string({ maxLength: 40 }), (text) => parseCacheControl(text) instanceof Map));
  });
});

describe('the age of an answer', () => {
  test('is that of the specification, computed the slow way', () => {
    fc.assert(
      fc.property(
        fc.record({
          age: fc.option(fc.nat(1000), { nil: undefined }),
          dateAgo: fc.option(fc.integer({ min: -1000, max: 1000 }), { nil: undefined }),
          delay: fc.nat(100),
          resident: fc.nat(5000),
        }),
        ({ age, dateAgo, delay, resident }) => {
          const receivedAtMs = startMs + delay * 1000;
          const headers: [string, string][] = [];
          if (age !== undefined) headers.push(['Age', `${age}`]);
          if (dateAgo !== undefined) headers.push(['Date', httpDate(receivedAtMs - dateAgo * 1000)]);
          const answer = answerOf(headers, { receivedAtMs });
          // RFC 9111 §4.2.3, name by name.
          const age_value = age ?? 0;
          const apparent_age = Math.max(0, dateAgo ?? 0);
          const corrected_age_value = age_value + delay;
          const corrected_initial_age = Math.max(apparent_age, corrected_age_value);
          expect(currentAgeS(answer, receivedAtMs + resident * 1000)).toBe(corrected_initial_age + resident);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

type Told = {
  's-maxage': number | undefined;
  'max-age': number | undefined;
  expiresIn: number | undefined;
  flags: string[];
  swr: number | undefined;
  sie: number | undefined;
  etag: boolean;
};
type Asked = {
  maxAge: number | undefined;
  minFresh: number | undefined;
  maxStale: number | 'any' | undefined;
  flags: string[];
};

const seconds = fc.option(fc.integer({ min: 0, max: 40 }), { nil: undefined });
const toldArbitrary: fc.Arbitrary<Told> = fc.record({
  's-maxage': seconds,
  'max-age': seconds,
  expiresIn: fc.option(fc.integer({ min: -20, max: 40 }), { nil: undefined }),
  flags: fc.subarray(['must-revalidate', 'proxy-revalidate', 'no-cache', 'public', 'private', 'no-store']),
  swr: seconds,
  sie: seconds,
  etag: fc.boolean(),
});
const askedArbitrary: fc.Arbitrary<Asked> = fc.record({
  maxAge: seconds,
  minFresh: seconds,
  maxStale: fc.option(fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constant('any' as const)), { nil: undefined }),
  flags: fc.subarray(['no-cache', 'only-if-cached']),
});
const directive = (name: string, value: number | undefined): string[] =>
  value === undefined ? [] : [`${name}=${value}`];

const toldHeaders = (told: Told): [string, string][] => {
  const control = [
    ...directive('s-maxage', told['s-maxage']),
    ...directive('max-age', told['max-age']),
    ...directive('stale-while-revalidate', told.swr),
    ...directive('stale-if-error', told.sie),
    ...told.flags,
  ];
  const headers: [string, string][] = [['Date', httpDate(startMs)]];
  if (control.length > 0) headers.push(['Cache-Control', control.join(', ')]);
  if (told.expiresIn !== undefined) headers.push(['Expires', httpDate(startMs + told.expiresIn * 1000)]);
  if (told.etag) headers.push(['ETag', '"x"']);
  return headers;
};
const askedHeaders = (asked: Asked): Record<string, string> => {
  const control = [
    ...directive('max-age', asked.maxAge),
    ...directive('min-fresh', asked.minFresh),
    ...(asked.maxStale === undefined ? [] : asked.maxStale === 'any' ? ['max-stale'] : [`max-stale=${asked.maxStale}`]),
    ...asked.flags,
  ];
  return control.length === 0 ? {} : { 'cache-control': control.join(', ') };
};

/** For how long it is fresh, by walking through its life second by second until a rule says no more. */
const freshSecondsOf = (told: Told): number => {
  const source = told['s-maxage'] ?? told['max-age'] ?? told.expiresIn ?? 0;
  let lived = 0;
  while (lived < source) lived += 1;
  return lived;
};

/** What may be done at this age, each rule of RFC 9111 §4, §5.2 and RFC 5861 on its own and none knowing of the others. */
const allowedByTheRules = (told: Told, asked: Asked, ageS: number): boolean => {
  const freshS = freshSecondsOf(told);
  const flags = new Set(told.flags);
  const staleS = Math.max(0, ageS - freshS + (ageS >= freshS ? 0 : 1));
  const isFresh = ageS < freshS;
  const objections: boolean[] = [
    flags.has('no-cache'),
    asked.flags.includes('no-cache'),
    asked.minFresh !== undefined && ageS + asked.minFresh > freshS,
  ];
  const neverStale = flags.has('must-revalidate') || flags.has('proxy-revalidate');
  const sharedLifetime = told['s-maxage'] !== undefined;
  const clientTakes =
    asked.maxStale === 'any' ? Number.POSITIVE_INFINITY : asked.maxStale === undefined ? -1 : asked.maxStale;
  const clientLeave = !neverStale && !sharedLifetime && !isFresh && ageS - freshS <= clientTakes;
  const originLeave =
    !neverStale && !isFresh && ageS - freshS < (told.swr ?? 0) && !asked.flags.includes('only-if-cached');
  if (!isFresh) objections.push(!(clientLeave || originLeave) || staleS < 0);
  if (asked.maxAge !== undefined && ageS > asked.maxAge) {
    const within = ageS <= asked.maxAge + clientTakes;
    const staleIsBarred = neverStale || sharedLifetime;
    objections.push(!(within && !staleIsBarred && ageS - freshS <= clientTakes));
  }
  return !objections.includes(true);
};

describe('whether a kept answer may be given', () => {
  test('agrees with the rules of the specification, one by one', () => {
    fc.assert(
      fc.property(toldArbitrary, askedArbitrary, fc.integer({ min: 0, max: 90 }), (told, asked, ageS) => {
        const stored = answerOf(toldHeaders(told));
        const found = reuse(get(askedHeaders(asked)), stored, startMs + ageS * 1000);
        const given = found.kind === 'fresh' || found.kind === 'stale' || found.kind === 'stale-while-revalidate';
        expect(given).toBe(allowedByTheRules(told, asked, ageS));
        if (!given && asked.flags.includes('only-if-cached')) expect(found.kind).toBe('unsatisfiable');
        if (found.kind === 'validate') expect(told.etag).toBe(true);
        if (found.kind === 'fresh') expect(ageS).toBeLessThan(freshSecondsOf(told));
      }),
      { numRuns: 5000 },
    );
  });

  test('never grows with age: what may not be given now may not be given later either', () => {
    fc.assert(
      fc.property(toldArbitrary, askedArbitrary, fc.nat(60), fc.nat(60), (told, asked, one, other) => {
        const stored = answerOf(toldHeaders(told));
        const request = get(askedHeaders(asked));
        const given = (ageS: number): boolean =>
          ['fresh', 'stale', 'stale-while-revalidate'].includes(reuse(request, stored, startMs + ageS * 1000).kind);
        // A wish for freshness to come ends with freshness, where staleness is what the client has asked for as well.
        if (asked.minFresh === undefined && given(Math.max(one, other))) expect(given(Math.min(one, other))).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test('where the origin failed: while it is fresh, then for as long as stale-if-error says', () => {
    fc.assert(
      fc.property(toldArbitrary, fc.integer({ min: 0, max: 90 }), (told, ageS) => {
        const freshS = freshSecondsOf(told);
        const barred = told.flags.some((flag) => flag === 'must-revalidate' || flag === 'proxy-revalidate');
        const expected =
          !told.flags.includes('no-cache') && (ageS <= freshS || (!barred && ageS - freshS < (told.sie ?? 0)));
        expect(mayServeOnError(get(), answerOf(toldHeaders(told)), startMs + ageS * 1000)).toBe(expected);
      }),
      { numRuns: 2000 },
    );
    const stored = answerOf([['Cache-Control', 'max-age=1']]);
    expect(mayServeOnError(get({ 'cache-control': 'stale-if-error=60' }), stored, startMs + 30_000)).toBe(true);
    expect(mayServeOnError(get(), stored, startMs + 30_000)).toBe(false);
  });

  test('Pragma is no-cache only where there is no Cache-Control', () => {
    const stored = answerOf([['Cache-Control', 'max-age=60']]);
    expect(reuse(get({ pragma: 'no-cache' }), stored, startMs)).toMatchObject({ kind: 'fetch', why: 'request' });
    expect(reuse(get({ pragma: 'no-cache', 'cache-control': 'max-age=9' }), stored, startMs).kind).toBe('fresh');
  });

  test('the times of the route count only where the answer says nothing', () => {
    const fallback = { freshS: 10, staleWhileRevalidateS: 5, staleIfErrorS: 20 };
    expect(standingOf(answerOf([]), fallback, startMs)).toMatchObject({
      lifetimeS: 10,
      staleWhileRevalidateS: 5,
      staleIfErrorS: 20,
    });
    expect(standingOf(answerOf([['Cache-Control', 's-maxage=3']]), fallback, startMs)).toMatchObject({
      lifetimeS: 3,
      staleWhileRevalidateS: 0,
      staleIfErrorS: 0,
    });
    expect(standingOf(answerOf([['Expires', '0']]), fallback, startMs).lifetimeS).toBe(0);
  });
});

describe('what may be kept', () => {
  test('agrees with the rules of the specification, one by one', () => {
    const status = fc.constantFrom(200, 201, 204, 206, 301, 302, 304, 404, 410, 500, 503);
    fc.assert(
      fc.property(
        fc.record({
          told: toldArbitrary,
          status,
          method: fc.constantFrom('GET', 'HEAD', 'POST'),
          authorization: fc.boolean(),
          authorized: fc.boolean(),
          cookie: fc.boolean(),
          vary: fc.constantFrom(undefined, '*', 'accept', 'accept, *'),
          askedNoStore: fc.boolean(),
          freshS: fc.option(fc.nat(9), { nil: null }),
        }),
        ({ told, status, method, authorization, authorized, cookie, vary, askedNoStore, freshS }) => {
          const headers = toldHeaders(told);
          if (cookie) headers.push(['Set-Cookie', 'a=b']);
          if (vary !== undefined) headers.push(['Vary', vary]);
          const request: CacheRequest = {
            method,
            headers: {
              ...(authorization ? { authorization: 'Bearer x' } : {}),
              ...(askedNoStore ? { 'cache-control': 'no-store' } : {}),
            },
          };
          const fallback = { ...noFallback, freshS };
          const shareable =
            told.flags.includes('public') || told.flags.includes('must-revalidate') || told['s-maxage'] !== undefined;
          const source = told['s-maxage'] ?? told['max-age'] ?? told.expiresIn ?? freshS ?? 0;
          const conditions = [
            method === 'GET',
            [200, 204, 301, 404, 410].includes(status),
            !askedNoStore && !told.flags.includes('no-store'),
            !told.flags.includes('private'),
            !authorization || (authorized && shareable),
            !cookie,
            vary !== '*' && vary !== 'accept, *',
            source > 0 || told.etag,
          ];
          const found = notStorable(request, answerOf(headers, { status }), { authorized, fallback });
          expect(found === null).toBe(!conditions.includes(false));
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('is never a part, a stream of events, or anything that sets a cookie', () => {
    const fresh: [string, string] = ['Cache-Control', 'public, max-age=60'];
    expect(notStorable(get(), answerOf([fresh]), rules)).toBeNull();
    expect(notStorable(get(), answerOf([fresh, ['Content-Range', 'bytes 0-1/9']]), rules)).toBe('partial');
    expect(notStorable(get(), answerOf([fresh, ['content-type', 'Text/Event-Stream; x']]), rules)).toBe('event-stream');
    expect(notStorable(get(), answerOf([fresh, ['set-cookie', 'a=b']]), rules)).toBe('set-cookie');
    expect(notStorable(get(), answerOf([['Cache-Control', 'max-age=0']]), rules)).toBe('no-lifetime');
  });
});

describe('who is answered for themselves', () => {
  test.each([
    [{ cookie: 'session=1' }, 'cookies'],
    [{ cookie: 'strangler_sid=1; strangler_wrote_at=5' }, null],
    [{ authorization: 'Bearer x' }, 'authorization'],
    [{ range: 'bytes=0-' }, 'range'],
    [{ 'if-match': '"a"' }, 'condition'],
    [{ 'cache-control': 'no-store' }, 'no-store'],
    [{}, null],
  ] as const)('%j: %s', (headers, why) => {
    const none = { hasBody: false, operator: false };
    expect(bypassOf(get(headers), none, { authorized: false, cookies: 'bypass' })).toBe(why);
    if (why === 'cookies') expect(bypassOf(get(headers), none, { authorized: true, cookies: 'ignore' })).toBeNull();
  });
});

describe('variants', () => {
  test('an answer is for a request exactly where the headers that Vary names say the same', () => {
    const values = fc.option(fc.constantFrom('a', 'b', 'a, b', 'a,b', ' a ,  b '), { nil: undefined });
    const request = fc.record({ accept: values, 'accept-language': values, other: values }).map((headers) => ({
      method: 'GET',
      headers,
    }));
    const plain = (text: string | undefined): string | undefined => text?.replaceAll(' ', '');
    fc.assert(
      fc.property(request, request, (one, other) => {
        const stored = answerOf([['Vary', 'Accept-Language, accept']]);
        const same = (['accept', 'accept-language'] as const).every(
          (name) => plain(one.headers[name]) === plain(other.headers[name]),
        );
        expect(selects({ selectedBy: selectedBy(stored, one) }, other)).toBe(same);
        const vary = varyNames(stored)!;
        expect(variantKey('k', vary, one) === variantKey('k', vary, other)).toBe(same);
      }),
      { numRuns: 500 },
    );
  });

  test('an entry is read as it was written, and nothing else is one', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.string(), (bytes, stamp) => {
        const answer = answerOf([['ETag', '"ä"']], { body: Buffer.from(bytes), selectedBy: [['accept', null]] });
        expect(decodeEntry(encodeEntry({ stamp, answer }))).toEqual({ stamp, answer });
      }),
    );
    for (const text of [null, '', 'x', '{}\nabc', '{"v":2}\n']) expect(decodeEntry(text)).toBeUndefined();
  });
});

describe('conditions', () => {
  const stored = answerOf([
    ['ETag', 'W/"a,b"'],
    ['Last-Modified', httpDate(startMs)],
    ['Content-Type', 'text/plain'],
    ['Age', '7'],
    ['X-Note', 'old'],
  ]);

  test('a client that has it is told so, by tag before date', () => {
    expect(clientHasIt(get({ 'if-none-match': '"x", "a,b"' }), stored)).toBe(true);
    expect(clientHasIt(get({ 'if-none-match': '*' }), stored)).toBe(true);
    expect(clientHasIt(get({ 'if-none-match': '"x"', 'if-modified-since': httpDate(startMs) }), stored)).toBe(false);
    expect(clientHasIt(get({ 'if-modified-since': httpDate(startMs) }), stored)).toBe(true);
    expect(clientHasIt(get({ 'if-modified-since': httpDate(startMs - 1000) }), stored)).toBe(false);
    expect(clientHasIt(get({ 'if-none-match': '*' }), { ...stored, status: 404 })).toBe(false);
    expect(headersOf304(stored.headers).map(([name]) => name)).toEqual(['ETag', 'Last-Modified']);
  });

  test('a 304 makes what is kept as new as itself, and leaves its body alone', () => {
    expect(validationHeaders(stored)).toEqual({ 'If-None-Match': 'W/"a,b"', 'If-Modified-Since': httpDate(startMs) });
    const head = answerOf(
      [
        ['X-Note', 'new'],
        ['Content-Type', 'text/html'],
        ['Cache-Control', 'max-age=5'],
      ],
      {
        status: 304,
        receivedAtMs: startMs + 9_000,
      },
    );
    const now = freshened(stored, head);
    expect(now).toMatchObject({ status: 200, body: stored.body, receivedAtMs: startMs + 9_000 });
    expect(Object.fromEntries(now.headers)).toEqual({
      ETag: 'W/"a,b"',
      'Last-Modified': httpDate(startMs),
      'Content-Type': 'text/plain',
      'X-Note': 'new',
      'Cache-Control': 'max-age=5',
    });
    expect(isAbout(stored, answerOf([['ETag', '"a,b"']]))).toBe(true);
    expect(isAbout(stored, answerOf([['ETag', '"other"']]))).toBe(false);
  });
});

describe('who has written', () => {
  const facts = (headers: Record<string, string>, clientAddress = '10.0.0.1') => ({
    ...{ method: 'GET', path: '/', headers, clientAddress, operator: false, forcedSide: null, verifiedClaims: null },
  });

  test('is shown nothing that was asked for before their write was everywhere', () => {
    fc.assert(
      fc.property(fc.nat(1e6), fc.nat(1e6), fc.nat(1e4), (requestedAtMs, wroteAtMs, windowMs) => {
        expect(maySee(requestedAtMs, wroteAtMs, windowMs)).toBe(requestedAtMs - windowMs >= wroteAtMs);
      }),
    );
    expect(maySee(0, null, 5)).toBe(true);
  });

  test('is known by the cookie they were given, else by who they say they are, else by their address', () => {
    const cookie = wroteAtSetCookie(1234, 60_000, true).split(';')[0]!;
    expect(wroteAtOf(facts({ cookie: `a=b; ${cookie}` }), 9_999)).toBe(1234);
    expect(wroteAtOf(facts({ cookie: `${wroteAtCookie}=99999` }), 9_999)).toBe(9_999);
    expect(wroteAtOf(facts({ cookie: `${wroteAtCookie}=x` }), 9_999)).toBeNull();
    expect(writerOf(facts({ cookie: 'a=b' }))).toBeNull();
    expect(writerOf(facts({}))).toBe(writerOf(facts({})));
    expect(writerOf(facts({}))).not.toBe(writerOf(facts({}, '10.0.0.2')));
    const token = writerOf(facts({ authorization: 'Bearer x', cookie: 'a=b' }));
    expect(token).toBe(writerOf(facts({ authorization: 'Bearer x' }, '10.0.0.2')));
    expect(token).not.toBe(writerOf(facts({ authorization: 'Bearer y' })));
  });
});

test('Cache-Status says what became of a request', () => {
  expect(formatCacheStatus({ outcome: 'hit', ttlS: 9.7 })).toBe('strangler; hit; ttl=9');
  expect(formatCacheStatus({ outcome: 'stale', ttlS: -3.2 })).toBe('strangler; hit; ttl=-4; detail=stale');
  expect(formatCacheStatus({ outcome: 'uri-miss', forwardedStatus: 200, stored: true })).toBe(
    'strangler; fwd=uri-miss; fwd-status=200; stored',
  );
  expect(formatCacheStatus({ outcome: 'away' })).toBe('strangler; fwd=bypass; detail=away');
});

describe('what no key can tell apart', () => {
  const rules = { authorized: false, cookies: 'ignore' } as const;
  const passed = { hasBody: false, operator: false };

  test.each(['x-http-method-override', 'x-original-url', 'x-rewrite-url', 'x-host'])(
    'a request with %s is forwarded, and its answer is nobody else’s',
    (name) => {
      expect(bypassOf({ method: 'GET', headers: { [name]: '/other' } }, passed, rules)).toBe('override');
    },
  );

  test.each(['x-api-key', 'x-auth-token'])('%s is a proof like Authorization', (name) => {
    const request = { method: 'GET', headers: { [name]: 'k' } };
    expect(bypassOf(request, passed, rules)).toBe('authorization');
    expect(bypassOf(request, passed, { ...rules, authorized: true })).toBeNull();
  });

  test('an answer that is encoded is for those who accept the coding, though it does not say so', () => {
    expect(varyNames({ headers: [['Content-Encoding', 'br']] })).toEqual(['accept-encoding']);
    expect(
      varyNames({
        headers: [
          ['content-encoding', 'gzip'],
          ['Vary', 'Origin, Accept-Encoding'],
        ],
      }),
    ).toEqual(['accept-encoding', 'origin']);
    expect(varyNames({ headers: [['Content-Encoding', 'identity']] })).toEqual([]);
  });

  test('an answer about how it was asked is kept only where it says itself for how long', () => {
    const store = { authorized: false, fallback: { ...noFallback, freshS: 60 } };
    const at = { requestedAtMs: 0, receivedAtMs: 0 };
    for (const status of [405, 414, 501]) {
      expect(notStorable({ method: 'GET', headers: {} }, { status, headers: [], ...at }, store)).toBe('status');
      const told = { status, headers: [['Cache-Control', 'max-age=9']] as const, ...at };
      expect(notStorable({ method: 'GET', headers: {} }, told, store)).toBeNull();
    }
    expect(notStorable({ method: 'GET', headers: {} }, { status: 404, headers: [], ...at }, store)).toBeNull();
  });

  test('who stood before the proxy, and what policies have said, are part of the key', () => {
    const subject: CacheSubject = {
      ...{ route: 'GET /a', side: 'monolith', slice: null, epoch: null },
      ...{ scheme: 'https', host: 'shop.test', forwardedHost: 'shop.test', target: '/a', said: [] },
    };
    const keys = [
      subject,
      { ...subject, forwardedHost: 'evil.test' },
      { ...subject, said: ['versions=v1'] },
      { ...subject, said: ['versions=v2'] },
      { ...subject, scheme: 'http' },
    ].map(primaryKey);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe('of requests that ask the same at a time', () => {
  test('the others are let go where one fails, and the next ones wait for each other again', async () => {
    let nowMs = 0;
    const fetches = createSharedFetches<string>(() => nowMs);
    const [first, second] = [fetches.join('a'), fetches.join('a')];
    if (first.kind !== 'lead' || second.kind !== 'follow') throw new Error('expected one to lead');
    const answer = second.answer(1_000);
    first.share('failed');
    expect(await answer).toBe('failed');
    // What nobody waits for rests; who waits asks, once for all.
    expect(fetches.rests('a')).toBe(true);
    expect([fetches.join('a').kind, fetches.join('a').kind]).toEqual(['lead', 'follow']);
    nowMs = 1_001;
    expect(fetches.rests('a')).toBe(false);
  });

  test('what is nobody else’s is neither waited for nor asked for beside, for a while', () => {
    let nowMs = 0;
    const fetches = createSharedFetches<string>(() => nowMs);
    const place = fetches.join('a');
    if (place.kind === 'lead') place.share(null);
    expect([fetches.join('a').kind, fetches.join('a').kind, fetches.rests('a')]).toEqual(['alone', 'alone', true]);
    nowMs = 5_001;
    expect([fetches.rests('a'), fetches.join('a').kind, fetches.join('a').kind]).toEqual([false, 'lead', 'follow']);
  });
});
