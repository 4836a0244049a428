import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { rawHttp } from '@strangler/platform/testing/sockets.ts';
import { type AnswerRaw, ok, type RawUpstream, startRawUpstream } from './raw-upstream.ts';
import type { StartedProxy, StartProxy } from './start-transparent-proxy.ts';

const host = 'Host: shop.test\r\n';

export function describeBodies(start: StartProxy): void {
  describe('bodies', () => {
    let upstream: RawUpstream;
    let proxy: StartedProxy;
    let answerWith: AnswerRaw;
    beforeAll(async () => {
      upstream = await startRawUpstream((request, socket) => answerWith(request, socket));
      proxy = await start({ monolith: [upstream.origin] });
    });
    beforeEach(() => {
      answerWith = (_request, socket) => void socket.write(ok());
    });
    afterAll(async () => {
      await proxy.close();
      await upstream.close();
    });
    const send = (bytes: string, isHead = false) => rawHttp({ port: proxy.port, bytes, isHead });
    const last = () => upstream.received.at(-1)!;

    test.each(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PUT', 'POST', 'PATCH'])(
      'a %s without body is sent without body and without a length',
      async (method) => {
        answerWith = (_request, socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
        await send(`${method} / HTTP/1.1\r\n${host}\r\n`, method === 'HEAD');
        expect(last().all('transfer-encoding')).toEqual([]);
        expect(last().all('content-length')).toEqual([]);
        expect(last().rawBody).toBe('');
      },
    );

    test.each(['GET', 'DELETE', 'POST', 'OPTIONS'])(
      'a chunked %s stays chunked, and its connection is used again',
      async (method) => {
        const before = upstream.connections();
        for (let round = 0; round < 3; round++) {
          await send(`${method} / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`);
          expect(last().all('transfer-encoding')).toEqual(['chunked']);
          expect(last().all('content-length')).toEqual([]);
          expect(last().rawBody).toBe('3\r\nabc\r\n0\r\n\r\n');
          expect(last().one('connection')).toBe('keep-alive');
        }
        expect(upstream.connections() - before).toBeLessThanOrEqual(1);
      },
    );

    test.each(['GET', 'DELETE', 'POST'])('a %s with a length keeps it', async (method) => {
      await send(`${method} / HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello`);
      expect(last().all('content-length')).toEqual(['5']);
      expect(last().all('transfer-encoding')).toEqual([]);
      expect(last().rawBody).toBe('hello');
    });

    test('an empty chunked body stays an empty chunked body', async () => {
      await send(`POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`);
      expect(last().all('content-length')).toEqual([]);
      expect(last().rawBody).toBe('0\r\n\r\n');
    });

    test('a chunked DELETE cannot smuggle a request into the upstream connection', async () => {
      const inner = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
      const before = upstream.received.length;
      const chunk = `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`;
      await send(`DELETE /a HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n${chunk}`);
      await send(`GET /next HTTP/1.1\r\n${host}\r\n`);
      const lines = upstream.received.slice(before).map(({ requestLine }) => requestLine);
      expect(lines).toEqual(['DELETE /a HTTP/1.1', 'GET /next HTTP/1.1']);
    });

    test('trailers are passed on both ways', async () => {
      answerWith = (_request, socket) =>
        socket.write(
          'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n',
        );
      const answer = await send(
        `POST / HTTP/1.1\r\n${host}Trailer: X-Md5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Md5: q\r\nX-Forwarded-For: 9\r\n\r\n`,
      );
      expect(last().all('trailer')).toEqual(['X-Md5']);
      expect(last().rawBody).toBe('3\r\nabc\r\n0\r\nX-Md5: q\r\n\r\n');
      expect(answer.text).toBe(
        'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n',
      );
    });

    test('an answer that ends with its connection is passed on whole, in chunks', async () => {
      answerWith = (_request, socket) => void socket.end('HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nhello');
      const answer = await send(`GET / HTTP/1.1\r\n${host}\r\n`);
      expect(answer.head?.headers['transfer-encoding']).toEqual(['chunked']);
      expect(answer.body).toBe('5\r\nhello\r\n0\r\n\r\n');
    });

    test.each([
      ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n'],
      ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
      ['HEAD', 'HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n'],
      ['GET', 'HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n'],
      ['GET', 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'],
      ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n'],
    ])('to %s the answer %j arrives as it is, and the connection goes on', async (method, head) => {
      answerWith = (request, socket) => void socket.write(request.requestLine.includes('/next') ? ok('next') : head);
      const answer = await rawHttp({
        port: proxy.port,
        bytes: [
          `${method} / HTTP/1.1\r\n${host}\r\n`,
          { waitFor: '\r\n\r\n' },
          `GET /next HTTP/1.1\r\n${host}\r\n`,
          { waitFor: 'next' },
        ],
        isHead: true,
        answers: 2,
      });
      expect(answer.text).toBe(head + ok('next'));
    });

    test('pipelined requests are answered in order, and a write waits for the one before it', async () => {
      let pending = 0;
      let most = 0;
      answerWith = (request, socket) => {
        pending += 1;
        most = Math.max(most, pending);
        setTimeout(() => {
          pending -= 1;
          socket.write(ok(request.requestLine));
        }, 20);
      };
      const bytes = ['/1', '/2', '/3']
        .map((path) => `POST ${path} HTTP/1.1\r\n${host}Content-Length: 1\r\n\r\nx`)
        .join('');
      const answer = await rawHttp({ port: proxy.port, bytes, answers: 3 });
      expect(answer.text).toBe(['/1', '/2', '/3'].map((path) => ok(`POST ${path} HTTP/1.1`)).join(''));
      expect(most).toBe(1);
    });

    test('a declared body beyond the limit is refused with 413 before it is read, and a counted one when it is passed', async () => {
      const small = await start({ monolith: [upstream.origin], maxBodyBytes: 1_000 });
      const before = upstream.received.length;
      try {
        const declared = await rawHttp({
          port: small.port,
          bytes: `PUT / HTTP/1.1\r\n${host}Content-Length: 1001\r\n\r\n`,
        });
        expect(declared.head?.status).toBe(413);
        const chunk = `1f4\r\n${'a'.repeat(500)}\r\n`;
        const counted = await rawHttp({
          port: small.port,
          bytes: [`PUT / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`, chunk, chunk, chunk],
        });
        expect(counted.head?.status).toBe(413);
        expect(upstream.received).toHaveLength(before);
      } finally {
        await small.close();
      }
    });
  });

  describe('big and slow bodies', () => {
    let server: http.Server;
    let proxy: StartedProxy;
    let handler: http.RequestListener;
    beforeAll(async () => {
      server = http.createServer((req, res) => handler(req, res));
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      proxy = await start({ monolith: [`http://127.0.0.1:${(server.address() as AddressInfo).port}`] });
    });
    afterAll(async () => {
      await proxy.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });

    const mebibyte = 1024 ** 2;
    function* generated(mebibytes: number, seen?: (chunk: Buffer) => void) {
      for (let i = 0; i < mebibytes; i++) {
        const chunk = Buffer.alloc(mebibyte, i & 0xff);
        seen?.(chunk);
        yield chunk;
      }
    }

    /** Whether what comes, however it is cut, is what was generated. */
    const isGenerated = () => {
      let [bytes, otherBytes] = [0, 0];
      let expected = Buffer.alloc(0);
      return {
        add(chunk: Buffer) {
          for (let at = 0; at < chunk.length; ) {
            if (bytes % mebibyte === 0) expected = Buffer.alloc(mebibyte, (bytes / mebibyte) & 0xff);
            const from = bytes % mebibyte;
            const length = Math.min(chunk.length - at, mebibyte - from);
            if (chunk.compare(expected, from, from + length, at, at + length) !== 0) otherBytes += length;
            at += length;
            bytes += length;
          }
        },
        found: () => ({ bytes, otherBytes }),
      };
    };

    test('256 MiB go up and come down unchanged, in constant memory', async () => {
      const up = isGenerated();
      const down = isGenerated();
      handler = async (req, res) => {
        for await (const chunk of req) up.add(chunk as Buffer);
        res.writeHead(200);
        await pipeline(Readable.from(generated(256)), res);
      };
      const rssBefore = process.memoryUsage().rss;
      let rssMost = rssBefore;
      const watch = setInterval(() => {
        rssMost = Math.max(rssMost, process.memoryUsage().rss);
      }, 20);
      const req = http.request({ port: proxy.port, host: '127.0.0.1', method: 'PUT', path: '/big' });
      const answered = new Promise<http.IncomingMessage>((resolve, reject) =>
        req.on('response', resolve).on('error', reject),
      );
      await pipeline(Readable.from(generated(256)), req);
      const answer = await answered;
      expect(answer.statusCode).toBe(200);
      for await (const chunk of answer) down.add(chunk as Buffer);
      clearInterval(watch);
      for (const seen of [up, down]) expect(seen.found()).toEqual({ bytes: 256 * mebibyte, otherBytes: 0 });
      // Client, proxy and upstream are in this one process.
      expect(rssMost - rssBefore).toBeLessThan(200 * mebibyte);
    });

    test('an upstream that does not read stops the client, and a client that does not read stops the upstream', async () => {
      // The sources themselves would keep sixteen mebibytes ready, beside those in the kernel's buffers: where it lets a receiver's
      // grow to 32 MiB, as some machines do, there can be 40 and more.
      const onlyWhatIsTaken = { highWaterMark: 1 };
      let produced = 0;
      let release = () => {};
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      handler = async (req, res) => {
        if (req.method === 'PUT') {
          await released;
          req.resume();
          req.on('end', () => res.end('read'));
          return;
        }
        const source = Readable.from(
          generated(512, () => {
            produced += 1;
          }),
          onlyWhatIsTaken,
        );
        source.pipe(res);
        res.on('close', () => source.destroy());
      };
      let offered = 0;
      const put = http.request({ port: proxy.port, host: '127.0.0.1', method: 'PUT' });
      const putAnswered = new Promise<http.IncomingMessage>((resolve, reject) =>
        put.on('response', resolve).on('error', reject),
      );
      Readable.from(
        generated(128, () => {
          offered += 1;
        }),
        onlyWhatIsTaken,
      ).pipe(put);
      await steady(() => offered);
      expect(offered).toBeLessThan(96);
      release();
      (await putAnswered).resume();
      expect(offered).toBe(128);

      const get = http.get({ port: proxy.port, host: '127.0.0.1' });
      const answer = await new Promise<http.IncomingMessage>((resolve, reject) =>
        get.on('response', resolve).on('error', reject),
      );
      answer.pause();
      await steady(() => produced);
      expect(produced).toBeLessThan(256);
      answer.on('error', () => {});
      answer.destroy();
    });
  });
}

/** Waits until a count has begun and stands still. */
async function steady(count: () => number): Promise<void> {
  let before = -1;
  let still = 0;
  await eventually(async () => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    still = count() === before && before > 0 ? still + 1 : 0;
    before = count();
    return still >= 5;
  });
}
