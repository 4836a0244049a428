import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { rawHttp } from '@strangler/platform/testing/sockets.ts';
import { ok, type RawUpstream, startRawUpstream } from './raw-upstream.ts';
import type { StartedProxy, StartProxy } from './start-transparent-proxy.ts';

const host = 'Host: shop.test\r\n';
const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n';

/** Requests in which two servers could see different ends, hosts or headers: none may reach the upstream. */
const refusedHeads: Record<string, string> = {
  'Content-Length before Transfer-Encoding': `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
  'Transfer-Encoding before Content-Length': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${smuggled}`,
  'two different Content-Lengths': `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello`,
  'the same Content-Length twice': `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`,
  'a list of Content-Lengths': `POST / HTTP/1.1\r\n${host}Content-Length: 5, 5\r\n\r\nhello`,
  'a Content-Length with a plus sign': `POST / HTTP/1.1\r\n${host}Content-Length: +5\r\n\r\nhello`,
  'a negative Content-Length': `POST / HTTP/1.1\r\n${host}Content-Length: -5\r\n\r\nhello`,
  'a hexadecimal Content-Length': `POST / HTTP/1.1\r\n${host}Content-Length: 0x5\r\n\r\nhello`,
  'a Content-Length with a space within': `POST / HTTP/1.1\r\n${host}Content-Length: 5 5\r\n\r\nhello`,
  'an empty Content-Length': `POST / HTTP/1.1\r\n${host}Content-Length:\r\n\r\nhello`,
  'a Content-Length beyond 64 bits': `POST / HTTP/1.1\r\n${host}Content-Length: 18446744073709551621\r\n\r\nhello`,
  'a Content-Length beyond what a number holds exactly': `POST / HTTP/1.1\r\n${host}Content-Length: 9007199254740993\r\n\r\nhello`,
  'a space before the colon of Content-Length': `POST / HTTP/1.1\r\n${host}Content-Length : 5\r\n\r\nhello`,
  'a space before the colon of Transfer-Encoding': `POST / HTTP/1.1\r\n${host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding: xchunked': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding: identity': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding: chunked, identity': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding: identity, chunked': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding: gzip, chunked': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding: chunked, chunked': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding: chunked twice': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding: chunked, then identity on another line': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding with a parameter': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding in quotes': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding after a vertical tab': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding on a folded line': `POST / HTTP/1.1\r\n${host}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`,
  'an empty Transfer-Encoding': `POST / HTTP/1.1\r\n${host}Transfer-Encoding:\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding with a trailing comma': `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding in HTTP/1.0': `POST / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'a folded header': `GET / HTTP/1.1\r\n${host}X-A: b\r\n c\r\n\r\n`,
  'lines that end in LF alone': 'GET / HTTP/1.1\nHost: shop.test\n\n',
  'one header that ends in LF alone': `GET / HTTP/1.1\r\n${host}X-A: b\nX-B: c\r\n\r\n`,
  'a CR within a header': `GET / HTTP/1.1\r\n${host}X-A: b\rX-B: c\r\n\r\n`,
  'a head that ends in LF alone': `GET / HTTP/1.1\r\n${host}\n`,
  'a NUL in a header': `GET / HTTP/1.1\r\n${host}X-A: b\0c\r\n\r\n`,
  'a control character in a header': `GET / HTTP/1.1\r\n${host}X-A: b\x01c\r\n\r\n`,
  'a DEL in a header': `GET / HTTP/1.1\r\n${host}X-A: b\x7fc\r\n\r\n`,
  'a control character in a header name': `GET / HTTP/1.1\r\n${host}X\x01A: b\r\n\r\n`,
  'a space in a header name': `GET / HTTP/1.1\r\n${host}X A: b\r\n\r\n`,
  'an empty header name': `GET / HTTP/1.1\r\n${host}: b\r\n\r\n`,
  'white space before the first header': 'GET / HTTP/1.1\r\n Host: shop.test\r\n\r\n',
  'no Host': 'GET / HTTP/1.1\r\nAccept: */*\r\n\r\n',
  'two Hosts': `GET / HTTP/1.1\r\n${host}Host: other.test\r\n\r\n`,
  'the same Host twice': `GET / HTTP/1.1\r\n${host}${host}\r\n`,
  'a list of Hosts': 'GET / HTTP/1.1\r\nHost: shop.test, other.test\r\n\r\n',
  'a Host with a path': 'GET / HTTP/1.1\r\nHost: shop.test/admin\r\n\r\n',
  'a Host with a user': 'GET / HTTP/1.1\r\nHost: root@shop.test\r\n\r\n',
  'a Host with a bad port': 'GET / HTTP/1.1\r\nHost: shop.test:80a\r\n\r\n',
  'a Host other than that of the absolute-form target': `GET http://other.test/ HTTP/1.1\r\n${host}\r\n`,
  'an absolute-form target with a user': `GET http://root@shop.test/ HTTP/1.1\r\n${host}\r\n`,
  'an absolute-form target without a host': `GET http:///x HTTP/1.1\r\n${host}\r\n`,
  'an absolute-form target of another scheme': `GET ftp://shop.test/x HTTP/1.1\r\n${host}\r\n`,
  'a target that does not begin with a slash': `GET api HTTP/1.1\r\n${host}\r\n`,
  'a target with a fragment': `GET /a#b HTTP/1.1\r\n${host}\r\n`,
  'a target with a space': `GET /a b HTTP/1.1\r\n${host}\r\n`,
  'a target with a tab': `GET /a\tb HTTP/1.1\r\n${host}\r\n`,
  'a target with a control character': `GET /\x01 HTTP/1.1\r\n${host}\r\n`,
  'a target with bytes beyond ASCII': `GET /\xc3\xa9 HTTP/1.1\r\n${host}\r\n`,
  'the target * with GET': `GET * HTTP/1.1\r\n${host}\r\n`,
  'a method in lower case': `get / HTTP/1.1\r\n${host}\r\n`,
  'a method that is none': `FOO / HTTP/1.1\r\n${host}\r\n`,
  'HTTP/1.2': `GET / HTTP/1.2\r\n${host}\r\n`,
};

/** Bodies that a lenient server would read otherwise; nothing but whole, well-formed chunks may reach the upstream. */
export const refusedChunks: Record<string, string> = {
  'a chunk size with 0x': '0x3\r\nabc\r\n0\r\n\r\n',
  'a chunk size with a plus sign': '+3\r\nabc\r\n0\r\n\r\n',
  'a negative chunk size': '-3\r\nabc\r\n0\r\n\r\n',
  'a space before a chunk size': ' 3\r\nabc\r\n0\r\n\r\n',
  'a space after a chunk size': '3 \r\nabc\r\n0\r\n\r\n',
  'a chunk size that ends in LF alone': '3\nabc\r\n0\r\n\r\n',
  'chunk data that ends in LF alone': '3\r\nabc\n0\r\n\r\n',
  'chunk data longer than its size': '3\r\nabcd\r\n0\r\n\r\n',
  'a chunk size beyond 64 bits': '10000000000000003\r\nabc\r\n0\r\n\r\n',
  'an empty chunk size': '\r\nabc\r\n0\r\n\r\n',
  'a chunk extension with LF within': '3;a\nb\r\nabc\r\n0\r\n\r\n',
  'Content-Length among the trailers': '3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n',
};

export function describeFraming(start: StartProxy): void {
  describe('ambiguous framing', () => {
    let upstream: RawUpstream;
    let proxy: StartedProxy;
    beforeAll(async () => {
      upstream = await startRawUpstream((_request, socket) => void socket.write(ok()));
      proxy = await start({ monolith: [upstream.origin] });
    });
    afterAll(async () => {
      await proxy.close();
      await upstream.close();
    });

    test.each(Object.entries(refusedHeads))(
      '%s is refused, and the upstream sees no byte of it',
      async (_name, bytes) => {
        const before = upstream.received.length;
        const answer = await rawHttp({ port: proxy.port, bytes, until: 'close' });
        expect(answer.head?.status).toBeGreaterThanOrEqual(400);
        expect(answer.head?.status).toBeLessThan(500);
        expect(answer.head?.headers.connection).toEqual(['close']);
        expect(answer.statuses).toHaveLength(1);
        expect(upstream.received.slice(before)).toEqual([]);
      },
    );

    test.each(Object.entries(refusedChunks))(
      '%s ends the connection, and no whole request reaches the upstream',
      async (_name, body) => {
        const before = upstream.received.length;
        const bytes = `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n${body}${smuggled}`;
        const answer = await rawHttp({ port: proxy.port, bytes, until: 'close' });
        expect(answer.statuses.filter((status) => status < 400)).toEqual([]);
        expect(upstream.received.slice(before)).toEqual([]);
      },
    );

    test('HTTP/0.9 and HTTP/2.0 request lines are not taken for HTTP/1.x', async () => {
      const before = upstream.received.length;
      for (const bytes of ['GET /\r\n\r\n', `GET / HTTP/2.0\r\n${host}\r\n`]) {
        const answer = await rawHttp({ port: proxy.port, bytes, until: 'close' });
        expect(answer.head?.status).toBe(505);
      }
      expect(upstream.received.slice(before)).toEqual([]);
    });

    test('chunk extensions are dropped and chunks written anew', async () => {
      const bytes = `POST / HTTP/1.1\r\n${host}Transfer-Encoding: CHUNKED\r\n\r\n3;a="b"\r\nabc\r\n00\r\n\r\n`;
      const answer = await rawHttp({ port: proxy.port, bytes });
      expect(answer.head?.status).toBe(200);
      const request = upstream.received.at(-1)!;
      expect(request.rawBody).toBe('3\r\nabc\r\n0\r\n\r\n');
      expect(request.all('transfer-encoding')).toEqual(['chunked']);
      expect(request.all('content-length')).toEqual([]);
    });

    test('what follows a request with a body is the next request, not a part of the body', async () => {
      const before = upstream.received.length;
      const bytes = `POST /first HTTP/1.1\r\n${host}Content-Length: 3\r\n\r\nabcGET /second HTTP/1.1\r\n${host}\r\n`;
      const answer = await rawHttp({ port: proxy.port, bytes, answers: 2 });
      expect(answer.statuses).toEqual([200, 200]);
      const lines = upstream.received.slice(before).map(({ requestLine }) => requestLine);
      expect(lines).toEqual(['POST /first HTTP/1.1', 'GET /second HTTP/1.1']);
    });

    test('CONNECT is answered 501 and TRACE 405', async () => {
      const connect = await rawHttp({ port: proxy.port, bytes: `CONNECT shop.test:443 HTTP/1.1\r\n${host}\r\n` });
      expect(connect.head?.status).toBe(501);
      const trace = await rawHttp({ port: proxy.port, bytes: `TRACE / HTTP/1.1\r\n${host}Cookie: secret\r\n\r\n` });
      expect(trace.head?.status).toBe(405);
      expect(trace.text).not.toContain('secret');
    });

    test('OPTIONS * reaches the upstream as OPTIONS *', async () => {
      const answer = await rawHttp({ port: proxy.port, bytes: `OPTIONS * HTTP/1.1\r\n${host}\r\n` });
      expect(answer.head?.status).toBe(200);
      expect(upstream.received.at(-1)!.requestLine).toBe('OPTIONS * HTTP/1.1');
    });

    test('an absolute-form target is forwarded in origin-form, its Host unchanged', async () => {
      const bytes = `GET HTTP://Shop.Test/a//b?c HTTP/1.1\r\n${host}\r\n`;
      await rawHttp({ port: proxy.port, bytes });
      expect(upstream.received.at(-1)!.requestLine).toBe('GET /a//b?c HTTP/1.1');
      expect(upstream.received.at(-1)!.all('host')).toEqual(['shop.test']);
      await rawHttp({ port: proxy.port, bytes: `GET http://shop.test?x=1 HTTP/1.1\r\n${host}\r\n` });
      expect(upstream.received.at(-1)!.requestLine).toBe('GET /?x=1 HTTP/1.1');
    });

    test.each([
      '//',
      '//evil.test/a',
      '///',
      '/a//b',
      '/a/../b',
      '/%2e%2E/%2f',
      '/a;b=c/d',
      '/a%zz%',
      '/a?b=c?d&e=%20+',
      '/?',
      '/a\\b',
      '/:80/@x',
      '/"<>[]^`{|}',
      '/http://other.test/',
    ])('the target %s reaches the upstream byte for byte', async (target) => {
      const answer = await rawHttp({ port: proxy.port, bytes: `GET ${target} HTTP/1.1\r\n${host}\r\n` });
      expect(answer.head?.status).toBe(200);
      expect(upstream.received.at(-1)!.requestLine).toBe(`GET ${target} HTTP/1.1`);
    });
  });
}
