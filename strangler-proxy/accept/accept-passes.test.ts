import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { headOf } from '../testing/request-head-of.ts';
import type { ClientIdentity } from './client-identity.ts';
import { bodyFraming } from './framing.ts';
import { hopByHopNames, namedByConnection } from './hop-by-hop.ts';
import { hostRefusal } from './host.ts';
import { declaredBodyRefusal, defaultLimits, headSizeRefusal } from './limits.ts';
import { operatorTokens, operatorWish } from './operator.ts';
import { type OutgoingHeaders, outgoingHeaders } from './outgoing.ts';
import { requestTarget, type Target } from './target.ts';
import { createContinueTrace } from './trace-context.ts';

const identity: ClientIdentity = {
  clientAddress: '192.0.2.1',
  forwardedFor: '192.0.2.1',
  forwardedProto: 'http',
  forwardedHost: 'shop.test',
  forwarded: 'for=192.0.2.1',
};
const own = { identity, requestId: 'id', traceparent: 'tp', tracestate: undefined };
const token = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}$/);
const visible = fc.stringMatching(/^[!-~]{0,20}$/);
const lower = (headers: OutgoingHeaders) => Object.keys(headers).map((name) => name.toLowerCase());

describe('bodyFraming', () => {
  test('is known only where one length or one chunked coding says it', () => {
    const framing = (headers: string[], httpVersion = '1.1') => bodyFraming(headOf({ headers, httpVersion }));
    expect(framing([])).toEqual({ kind: 'none' });
    expect(framing(['Content-Length', '5'])).toEqual({ kind: 'sized', bytes: 5 });
    expect(framing(['content-length', '0'])).toEqual({ kind: 'sized', bytes: 0 });
    expect(framing(['TRANSFER-ENCODING', 'Chunked'])).toEqual({ kind: 'chunked' });
    expect(framing(['Transfer-Encoding', 'chunked'], '1.0')).toMatchObject({ status: 400, connection: 'close' });
    expect(framing([], '2.0')).toMatchObject({ status: 505 });
  });

  test('refuses every length that is not plain digits', () => {
    fc.assert(
      fc.property(fc.string(), (length) => {
        fc.pre(!/^[0-9]{1,15}$/.test(length));
        expect(bodyFraming(headOf({ headers: ['Content-Length', length] }))).toMatchObject({
          kind: 'refused',
          status: 400,
        });
      }),
    );
  });

  test('refuses every coding but chunked, and any two statements about the length', () => {
    fc.assert(
      fc.property(visible, (coding) => {
        fc.pre(coding.toLowerCase() !== 'chunked');
        expect(bodyFraming(headOf({ headers: ['Transfer-Encoding', coding] }))).toMatchObject({ status: 400 });
      }),
    );
    const statement = fc.constantFrom(['Content-Length', '3'], ['Transfer-Encoding', 'chunked']);
    fc.assert(
      fc.property(statement, statement, fc.array(token), (one, two, between) => {
        const headers = [...one, ...between.flatMap((name) => [`x-${name}`, '']), ...two];
        expect(bodyFraming(headOf({ headers }))).toMatchObject({ kind: 'refused', status: 400 });
      }),
    );
  });
});

describe('requestTarget', () => {
  test('never changes a byte of an origin-form target', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^\/[!-"$-~]{0,60}$/), (url) => {
        const target = requestTarget(headOf({ url, headers: [] })) as Target;
        expect(target.forwarded).toBe(url);
        expect(target.path).toBe(url.split('?', 1)[0]);
      }),
    );
  });

  test('refuses what no client may ask for', () => {
    for (const url of [
      '',
      'a',
      '*',
      '/a b',
      '/a#b',
      '/\u00e9',
      '/\u0000',
      'http://',
      'http:///',
      'ftp://a/',
      'http://u@a/',
      'https:/a',
    ]) {
      expect(requestTarget(headOf({ url, headers: [] }))).toMatchObject({ kind: 'refused', status: 400 });
    }
  });
});

test('hostRefusal accepts hosts with ports and IPv6 literals, and nothing that only looks like one', () => {
  const target: Target = { kind: 'target', forwarded: '/', path: '/', authority: null };
  for (const host of ['a', 'a.test:80', '127.0.0.1', '[::1]:8080', 'a_b.test', '']) {
    expect(hostRefusal(headOf({ headers: ['Host', host] }), target)).toBeNull();
  }
  for (const host of ['a b', 'a,b', 'a/b', 'u@a', 'a:b', '[::1', '::1', 'a?b', 'a#b', 'a:123456', '\u00e9']) {
    expect(hostRefusal(headOf({ headers: ['Host', host] }), target)).toMatchObject({ status: 400 });
  }
});

test('limits refuse the first unit beyond them and not the last within', () => {
  const limits = { ...defaultLimits, maxTargetBytes: 10, maxHeaderCount: 3, maxHeaderBytes: 40, maxBodyBytes: 5 };
  expect(headSizeRefusal(headOf({ url: `/${'a'.repeat(9)}`, headers: [] }), limits)).toBeNull();
  expect(headSizeRefusal(headOf({ url: `/${'a'.repeat(10)}`, headers: [] }), limits)).toMatchObject({ status: 414 });
  expect(headSizeRefusal(headOf({ headers: ['a', '', 'b', '', 'c', ''] }), limits)).toBeNull();
  expect(headSizeRefusal(headOf({ headers: ['a', '', 'b', '', 'c', '', 'd', ''] }), limits)).toMatchObject({
    status: 431,
  });
  expect(headSizeRefusal(headOf({ headers: ['a', 'b'.repeat(35)] }), limits)).toBeNull();
  expect(headSizeRefusal(headOf({ headers: ['a', 'b'.repeat(36)] }), limits)).toMatchObject({ status: 431 });
  expect(declaredBodyRefusal({ kind: 'sized', bytes: 5 }, limits)).toBeNull();
  expect(declaredBodyRefusal({ kind: 'sized', bytes: 6 }, limits)).toMatchObject({ status: 413, connection: 'keep' });
});

describe('outgoingHeaders', () => {
  const build = (headers: string[], kind: 'none' | 'chunked' = 'none') =>
    outgoingHeaders(headOf({ headers }), { kind }, own);

  test('whatever Connection names, the proxy’s own headers are there and no hop-by-hop header is', () => {
    const ownNames = [
      'x-forwarded-for',
      'x-forwarded-proto',
      'x-forwarded-host',
      'forwarded',
      'x-request-id',
      'traceparent',
    ];
    const anyName = fc.oneof(token, fc.constantFrom(...ownNames, ...hopByHopNames, 'host', 'cookie'));
    fc.assert(
      fc.property(fc.array(anyName), fc.array(fc.tuple(anyName, visible)), (named, sent) => {
        const built = build(['Connection', named.join(', '), ...sent.flat()]);
        const names = lower(built);
        for (const name of ownNames) expect(names.filter((one) => one === name)).toHaveLength(1);
        expect(built['X-Forwarded-For']).toBe('192.0.2.1');
        for (const name of hopByHopNames) {
          if (name !== 'te' && name !== 'connection') expect(names).not.toContain(name);
        }
      }),
    );
  });

  test('no two keys differ in case only, whatever is sent', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('A', 'a', 'Bc', 'bC', 'TE', 'te', 'Forwarded', '__proto__'), visible)),
        (sent) => {
          const names = lower(build(sent.flat()));
          expect(new Set(names).size).toBe(names.length);
        },
      ),
    );
  });

  test('every value of an ordinary header is kept in order', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom('A', 'a', 'B'), visible)), (sent) => {
        const built = build(sent.flat());
        const values = Object.entries(built)
          .filter(([name]) => name.toLowerCase() === 'a')
          .flatMap(([, value]) => value);
        expect(values).toEqual(sent.filter(([name]) => name.toLowerCase() === 'a').map(([, value]) => value));
      }),
    );
  });

  test('Trailer goes along with chunks only', () => {
    expect(lower(build(['Trailer', 'X']))).not.toContain('trailer');
    expect(lower(build(['Trailer', 'X'], 'chunked'))).toContain('trailer');
  });
});

test('namedByConnection takes nothing for the tokens that name no header, and never what a message needs', () => {
  for (const plain of ['keep-alive', 'close', 'Upgrade', 'keep-alive, Upgrade', ' close ,, ', '']) {
    expect(namedByConnection(plain).size).toBe(0);
  }
  expect([...namedByConnection('keep-alive, X-A,x-b')]).toEqual(['keep-alive', 'x-a', 'x-b']);
  expect(namedByConnection('Host, Content-Length, Authorization').size).toBe(0);
});

test('an operator is who has the token, and nobody where none is set', () => {
  const wish = (headers: string[], secret: string | null) => operatorWish(headOf({ headers }), operatorTokens(secret));
  expect(wish(['X-Strangler-Operator', 's3cret', 'X-Strangler-Force-Side', 'service'], 's3cret')).toEqual({
    operator: true,
    forcedSide: 'service',
  });
  expect(wish(['X-Strangler-Operator', 's3cret', 'X-Strangler-Force-Side', 'moon'], 's3cret')).toEqual({
    operator: true,
    forcedSide: null,
  });
  for (const [headers, secret] of [
    [['X-Strangler-Operator', 'guess', 'X-Strangler-Force-Side', 'service'], 's3cret'],
    [['X-Strangler-Operator', ''], ''],
    [['X-Strangler-Operator', ''], null],
    [['X-Strangler-Force-Side', 'service'], 's3cret'],
  ] as const) {
    expect(wish([...headers], secret)).toEqual({ operator: false, forcedSide: null });
  }
});

test('trace ids are well-formed and differ, and a received trace is continued with a new span', () => {
  const continueTrace = createContinueTrace();
  const made = Array.from({ length: 2_000 }, () => continueTrace({}).traceparent);
  expect(new Set(made).size).toBe(2_000);
  for (const traceparent of made) expect(traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  const continued = continueTrace({ traceparent: `00-${trace}-00f067aa0ba902b7-00`, tracestate: 'a=b' });
  expect(continued.traceparent).toMatch(new RegExp(`^00-${trace}-[0-9a-f]{16}-00$`));
  expect(continued.traceparent).not.toContain('00f067aa0ba902b7');
  expect(continued.tracestate).toBe('a=b');
  expect(continueTrace({ traceparent: 'no', tracestate: 'a=b' }).tracestate).toBeUndefined();
});
