import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { rawHttp } from '@strangler/platform/testing/sockets.ts';
import { type AnswerRaw, ok, type RawUpstream, startRawUpstream } from './raw-upstream.ts';
import type { StartedProxy, StartProxy } from './start-transparent-proxy.ts';

/** Headers by which the proxy tells the upstream about the request; all else must be as the client wrote it. */
const ownNames = new Set([
  'connection',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'forwarded',
  'x-request-id',
  'traceparent',
]);

export function describeHeaders(start: StartProxy): void {
  describe('headers', () => {
    let upstream: RawUpstream;
    let proxy: StartedProxy;
    let trusting: StartedProxy;
    let answerWith: AnswerRaw;
    beforeAll(async () => {
      upstream = await startRawUpstream((request, socket) => answerWith(request, socket));
      proxy = await start({ monolith: [upstream.origin] });
      trusting = await start({ monolith: [upstream.origin], trustedPeers: ['127.0.0.0/8', '::1'] });
    });
    beforeEach(() => {
      answerWith = (_request, socket) => void socket.write(ok());
    });
    afterAll(async () => {
      await proxy.close();
      await trusting.close();
      await upstream.close();
    });
    const get = (lines: string, port = proxy.port) =>
      rawHttp({ port, bytes: `GET /a HTTP/1.1\r\nHost: shop.test\r\n${lines}\r\n` });
    const last = () => upstream.received.at(-1)!;

    test('what the client sent arrives in its order and case, repeated lines repeated', async () => {
      await get(
        'X-ODD-Case: 1\r\naccept: */*\r\nCookie: a=1\r\nX-Twice: a\r\nX-Twice: b, c\r\nX-Empty:\r\nX-Latin: caf\xe9\r\n',
      );
      expect(last().all('host')).toEqual(['shop.test']);
      const others = new Set([...ownNames, 'host']);
      expect(last().headers.filter(([name]) => !others.has(name.toLowerCase()))).toEqual([
        ['X-ODD-Case', '1'],
        ['accept', '*/*'],
        ['Cookie', 'a=1'],
        ['X-Twice', 'a'],
        ['X-Twice', 'b, c'],
        ['X-Empty', ''],
        ['X-Latin', 'caf\xe9'],
      ]);
    });

    test('repeated lines in different case are all sent on', async () => {
      await get('X-Twice: a\r\nx-twice: b\r\nCookie: a=1\r\ncookie: b=2\r\n');
      expect(last().all('x-twice')).toEqual(['a', 'b']);
      expect(last().all('cookie').join('; ')).toBe('a=1; b=2');
    });

    test('a header named __proto__ is a header like any other', async () => {
      await get('__proto__: x\r\nconstructor: y\r\n');
      expect(last().all('__proto__')).toEqual(['x']);
      expect(last().all('constructor')).toEqual(['y']);
    });

    test('hop-by-hop headers and whatever Connection names do not reach the upstream', async () => {
      await get(
        'Connection: keep-alive, X-Private, x-other\r\nX-Private: 1\r\nX-Other: 2\r\nKeep-Alive: timeout=9\r\n' +
          'Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nTE: gzip\r\nUpgrade: h2c\r\nX-Kept: 3\r\n',
      );
      for (const name of [
        'x-private',
        'x-other',
        'keep-alive',
        'proxy-connection',
        'proxy-authorization',
        'te',
        'upgrade',
      ]) {
        expect([name, last().all(name)]).toEqual([name, []]);
      }
      expect(last().all('x-kept')).toEqual(['3']);
      expect(last().all('connection')).toEqual(['keep-alive']);
    });

    test('a client cannot have Host, Content-Length or the proxy’s own headers removed by naming them in Connection', async () => {
      const named =
        'X-Forwarded-For, X-Forwarded-Host, Forwarded, X-Request-Id, traceparent, Host, Content-Length, Cookie';
      const bytes = `POST /a HTTP/1.1\r\nHost: shop.test\r\nConnection: ${named}\r\nCookie: a=1\r\nContent-Length: 2\r\n\r\nhi`;
      await rawHttp({ port: proxy.port, bytes });
      expect(last().all('host')).toEqual(['shop.test']);
      expect(last().all('content-length')).toEqual(['2']);
      expect(last().all('cookie')).toEqual(['a=1']);
      expect(last().all('x-forwarded-for')).toEqual(['127.0.0.1']);
      expect(last().all('x-forwarded-host')).toEqual(['shop.test']);
      expect(last().all('x-request-id')).toHaveLength(1);
      expect(last().all('traceparent')).toHaveLength(1);
    });

    test('TE: trailers is passed on, as a header of this hop', async () => {
      await get('TE: gzip, trailers\r\nConnection: TE\r\n');
      expect(last().all('te')).toEqual(['trailers']);
      expect(last().one('connection')?.toLowerCase()).toContain('te');
    });

    test('a client’s X-Forwarded-*, Forwarded and X-Real-IP are replaced at the edge', async () => {
      await get(
        'X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\n' +
          'X-Forwarded-Prefix: /x\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n',
      );
      expect(last().all('x-forwarded-for')).toEqual(['127.0.0.1']);
      expect(last().all('x-forwarded-proto')).toEqual(['http']);
      expect(last().all('x-forwarded-host')).toEqual(['shop.test']);
      expect(last().all('x-forwarded-port')).toEqual([]);
      expect(last().all('x-forwarded-prefix')).toEqual([]);
      expect(last().all('forwarded')).toEqual(['for=127.0.0.1;host="shop.test";proto=http']);
      expect(last().all('x-real-ip')).toEqual([]);
    });

    test('a trusted peer’s X-Forwarded-For and Forwarded are added to, its proto and host believed', async () => {
      await get(
        'X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www.test\r\nForwarded: for=1.2.3.4\r\n',
        trusting.port,
      );
      expect(last().all('x-forwarded-for')).toEqual(['1.2.3.4, 127.0.0.1']);
      expect(last().all('x-forwarded-proto')).toEqual(['https']);
      expect(last().all('x-forwarded-host')).toEqual(['www.test']);
      expect(last().all('forwarded')).toEqual(['for=1.2.3.4, for=127.0.0.1;host="shop.test";proto=http']);
    });

    test('no x-strangler header of a client reaches the upstream', async () => {
      await get('x-strangler-side: service\r\nX-Strangler-Epoch: 9\r\nX-STRANGLER-operator: guess\r\n');
      expect(last().headers.filter(([name]) => name.toLowerCase().startsWith('x-strangler-'))).toEqual([]);
    });

    test('no service token of a client reaches the upstream, whatever it is called', async () => {
      await get('x-service-token: stolen\r\nX-SERVICE-TOKEN: stolen\r\nConnection: x-service-token\r\nX-Kept: 1\r\n');
      expect(last().headers.filter(([name]) => name.toLowerCase() === 'x-service-token')).toEqual([]);
      expect(last().one('x-kept')).toBe('1');
    });

    test('a request id and a trace are made, or continued where they are well-formed', async () => {
      await get('');
      expect(last().one('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
      expect(last().one('traceparent')).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
      const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
      await get(`X-Request-Id: abc-1\r\ntraceparent: 00-${trace}-00f067aa0ba902b7-01\r\ntracestate: a=b\r\n`);
      expect(last().all('x-request-id')).toEqual(['abc-1']);
      expect(last().one('traceparent')).toMatch(new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`));
      expect(last().all('tracestate')).toEqual(['a=b']);
      await get('X-Request-Id: <script>\r\ntraceparent: 00-bad\r\ntracestate: a=b\r\n');
      expect(last().one('x-request-id')).not.toContain('<');
      expect(last().all('tracestate')).toEqual([]);
    });

    test('the answer arrives as the upstream wrote it, and nothing is added to it', async () => {
      answerWith = (_request, socket) =>
        socket.write(
          'HTTP/1.1 299 Quite Fine\r\nDATE: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: old/1\r\nX-CaSe: 1\r\n' +
            'Set-Cookie: a=1; Domain=shop.test; Path=/\r\nSet-Cookie: b=2\r\nCache-Control: no-store\r\nCache-Control: private\r\n' +
            'X-Latin: caf\xe9\r\nContent-Disposition: attachment; filename="caf\xe9"\r\nContent-Length: 2\r\nVary: x\r\n\r\nhi',
          'latin1',
        );
      const answer = await get('');
      expect(answer.text).toBe(
        'HTTP/1.1 299 Quite Fine\r\nDATE: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: old/1\r\nX-CaSe: 1\r\n' +
          'Set-Cookie: a=1; Domain=shop.test; Path=/\r\nSet-Cookie: b=2\r\nCache-Control: no-store\r\nCache-Control: private\r\n' +
          'X-Latin: caf\xe9\r\nContent-Disposition: attachment; filename="caf\xe9"\r\nContent-Length: 2\r\nVary: x\r\n\r\nhi',
      );
    });

    test('Date, Server, Connection, Via, X-Powered-By and X-Request-Id are not invented', async () => {
      const answer = await get('');
      expect(answer.text).toBe(ok());
    });

    test('an empty reason stays empty', async () => {
      answerWith = (_request, socket) => void socket.write('HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n');
      expect((await get('')).text).toBe('HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n');
    });

    test('hop-by-hop headers of the answer, and whatever its Connection names, do not reach the client', async () => {
      answerWith = (_request, socket) =>
        socket.write(
          'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n' +
            'Upgrade: h2\r\nx-strangler-side: service\r\nX-Kept: 2\r\nContent-Length: 0\r\n\r\n',
        );
      expect((await get('')).text).toBe('HTTP/1.1 200 OK\r\nX-Kept: 2\r\nContent-Length: 0\r\n\r\n');
    });

    test('a client that asks to close is told that the connection closes, and it does', async () => {
      const answer = await rawHttp({
        port: proxy.port,
        bytes: 'GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n',
        until: 'close',
      });
      expect(answer.head?.headers.connection).toEqual(['close']);
      expect(answer.ended).toBe('closed');
      expect(last().one('connection')).toBe('keep-alive');
    });

    test('head of 60 kB is refused with 431 by default, and passed where the limit is higher', async () => {
      const big = `X-Big: ${'a'.repeat(60_000)}\r\n`;
      expect((await get(big)).head?.status).toBe(431);
      const wide = await start({ monolith: [upstream.origin], maxHeaderBytes: 65_536 });
      try {
        expect((await get(big, wide.port)).head?.status).toBe(200);
        expect(last().one('x-big')).toHaveLength(60_000);
      } finally {
        await wide.close();
      }
    });

    test('more header lines than the limit are refused with 431 rather than dropped', async () => {
      const before = upstream.received.length;
      expect((await get('a:\r\n'.repeat(3_000))).head?.status).toBe(431);
      expect((await get('a:\r\n'.repeat(250))).head?.status).toBe(431);
      expect(upstream.received).toHaveLength(before);
    });

    test('a target beyond the limit is refused with 414', async () => {
      const bytes = `GET /${'a'.repeat(9_000)} HTTP/1.1\r\nHost: shop.test\r\n\r\n`;
      expect((await rawHttp({ port: proxy.port, bytes })).head?.status).toBe(414);
    });

    test('interim answers are passed on before the final one', async () => {
      answerWith = (_request, socket) =>
        socket.write(
          `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\n\r\n${ok()}`,
        );
      const answer = await get('');
      expect(answer.statuses).toEqual([102, 103, 200]);
      expect(answer.text).toContain(
        '103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\n\r\n',
      );
    });

    test('an interim 100 of the upstream that nobody asked for stays with the proxy', async () => {
      answerWith = (_request, socket) => void socket.write(`HTTP/1.1 100 Continue\r\n\r\n${ok()}`);
      expect((await get('')).statuses).toEqual([200]);
    });

    test('Expect: 100-continue is answered by the proxy, is not passed on, and leaves the other headers in place', async () => {
      const answer = await rawHttp({
        port: proxy.port,
        bytes: [
          'PUT /a HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n',
          { waitFor: '100 Continue' },
          'hello',
        ],
      });
      expect(answer.statuses).toEqual([100, 200]);
      expect(last().all('expect')).toEqual([]);
      expect(last().all('x-forwarded-for')).toEqual(['127.0.0.1']);
      expect(last().rawBody).toBe('hello');
    });

    test('an HTTP/1.0 request is answered and its connection closed, unless it asks to keep it', async () => {
      const once = await rawHttp({ port: proxy.port, bytes: 'GET / HTTP/1.0\r\n\r\n', until: 'close' });
      expect(once.head?.status).toBe(200);
      expect(once.body).toBe('ok');
      expect(last().requestLine).toBe('GET / HTTP/1.1');
      expect(last().all('host')).toHaveLength(1);
      const kept = 'GET / HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive\r\n\r\n';
      const twice = await rawHttp({ port: proxy.port, bytes: kept + kept, answers: 2 });
      expect(twice.statuses).toEqual([200, 200]);
      expect(twice.head?.headers.connection).toEqual(['keep-alive']);
    });

    test('an HTTP/1.0 client gets a chunked answer without chunks', async () => {
      answerWith = (_request, socket) =>
        socket.write(
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n',
        );
      const answer = await rawHttp({ port: proxy.port, bytes: 'GET / HTTP/1.0\r\n\r\n', until: 'close' });
      expect(answer.head?.headers['transfer-encoding']).toBeUndefined();
      expect(answer.head?.headers.trailer).toBeUndefined();
      expect(answer.text.endsWith('\r\n\r\nhi')).toBe(true);
    });
  });
}
