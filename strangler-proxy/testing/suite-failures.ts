import net, { type Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { freePort, rawHttp } from '@strangler/platform/testing/sockets.ts';
import { type AnswerRaw, ok, type RawUpstream, startRawUpstream } from './raw-upstream.ts';
import type { ProxyWishes, StartedProxy, StartProxy } from './start-transparent-proxy.ts';

const host = 'Host: shop.test\r\n';
const get = `GET / HTTP/1.1\r\n${host}\r\n`;
const post = `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello`;

export function describeFailures(start: StartProxy): void {
  describe('failures', () => {
    const open: { close(): Promise<void> }[] = [];
    afterEach(async () => {
      for (const one of open.splice(0)) await one.close();
    });
    async function upstreamThat(
      answer: AnswerRaw,
      options?: Parameters<typeof startRawUpstream>[1],
    ): Promise<RawUpstream> {
      const upstream = await startRawUpstream(answer, options);
      open.unshift(upstream);
      return upstream;
    }
    async function proxyTo(upstream: RawUpstream | string, wishes: Partial<ProxyWishes> = {}): Promise<StartedProxy> {
      const origin = typeof upstream === 'string' ? upstream : upstream.origin;
      const proxy = await start({ monolith: [origin], ...wishes });
      open.unshift(proxy);
      return proxy;
    }

    test('a refused connection is a 502 problem with Retry-After', async () => {
      const proxy = await proxyTo(`http://127.0.0.1:${await freePort()}`);
      const answer = await rawHttp({ port: proxy.port, bytes: get });
      expect(answer.head?.status).toBe(502);
      expect(answer.head?.headers['content-type']?.[0]).toContain('application/problem+json');
      expect(answer.head?.headers['retry-after']).toEqual(['1']);
      expect(JSON.parse(answer.body)).toMatchObject({ status: 502, title: 'Bad gateway' });
    });

    test('a write meets a refused instance and is carried out by the next, body and all', async () => {
      const upstream = await upstreamThat((_request, socket) => void socket.write(ok()));
      const proxy = await start({ monolith: [`http://127.0.0.1:${await freePort()}`, upstream.origin] });
      open.unshift(proxy);
      // The instance asked first may be either; a few requests meet both.
      for (let i = 0; i < 8; i++) {
        expect((await rawHttp({ port: proxy.port, bytes: post })).head?.status).toBe(200);
        expect(upstream.received.at(-1)?.rawBody).toBe('hello');
      }
    });

    test('a read whose connection is reset before the answer began is repeated', async () => {
      let resets = 1;
      const upstream = await upstreamThat((_request, socket) => {
        if (resets-- > 0) socket.resetAndDestroy();
        else socket.write(ok());
      });
      const other = await upstreamThat((_request, socket) => void socket.write(ok()));
      const proxy = await start({ monolith: [upstream.origin, other.origin] });
      open.unshift(proxy);
      for (let i = 0; i < 4; i++) expect((await rawHttp({ port: proxy.port, bytes: get })).head?.status).toBe(200);
    });

    test('a write whose connection is reset after it was sent is a 502, sent once, and says that its fate is unknown', async () => {
      const upstream = await upstreamThat((_request, socket) => socket.resetAndDestroy());
      const proxy = await proxyTo(upstream);
      const answer = await rawHttp({ port: proxy.port, bytes: post });
      expect(answer.head?.status).toBe(502);
      expect(answer.head?.headers['retry-after']).toBeUndefined();
      expect(JSON.parse(answer.body).detail).toContain('not known');
      expect(upstream.received).toHaveLength(1);
    });

    test('a reset on a reused connection is repeated on a new one: a read is answered though there is one instance only', async () => {
      let dieNext = false;
      const upstream = await upstreamThat((_request, socket) => {
        if (dieNext) {
          dieNext = false;
          socket.resetAndDestroy();
        } else {
          socket.write(ok());
        }
      });
      const proxy = await proxyTo(upstream);
      expect((await rawHttp({ port: proxy.port, bytes: get })).head?.status).toBe(200);
      dieNext = true;
      expect((await rawHttp({ port: proxy.port, bytes: get })).head?.status).toBe(200);
      expect(upstream.received).toHaveLength(3);
    });

    test('an upstream restarted between two requests of one client connection goes unnoticed', async () => {
      const first = await startRawUpstream((_request, socket) => void socket.write(ok('first')));
      const { port } = first;
      const proxy = await proxyTo(first);
      let second: RawUpstream | undefined;
      const client = await connect(proxy.port);
      try {
        client.socket.write(get);
        await client.until('first');
        await first.close();
        second = await startRawUpstream((_request, socket) => void socket.write(ok('second')), { port });
        open.push(second);
        client.socket.write(get);
        await client.until('second');
        expect(client.text()).toBe(ok('first') + ok('second'));
      } finally {
        client.socket.destroy();
      }
    });

    test('idle upstream connections are closed before a Node server would close them', async () => {
      const upstream = await upstreamThat((_request, socket) => void socket.write(ok()));
      const proxy = await proxyTo(upstream);
      await rawHttp({ port: proxy.port, bytes: get });
      expect(upstream.openConnections()).toBe(1);
      const began = performance.now();
      await eventually(() => upstream.openConnections() === 0);
      expect(performance.now() - began).toBeLessThan(5_000);
    });

    test('no answer in time is a 504, and the upstream connection is gone', async () => {
      const upstream = await upstreamThat(() => {});
      const proxy = await proxyTo(upstream, { answerTimeoutMs: 150 });
      const answer = await rawHttp({ port: proxy.port, bytes: post });
      expect(answer.head?.status).toBe(504);
      await eventually(() => upstream.openConnections() === 0);
    });

    test('the wait for a free connection is bounded, and is a 504; a request with a body takes none from those without', async () => {
      const upstream = await upstreamThat((request, socket) => {
        if (request.requestLine.includes('/quick')) socket.write(ok());
      });
      const proxy = await proxyTo(upstream, { maxSockets: 1, connectTimeoutMs: 150 });
      const stuck = await connect(proxy.port);
      stuck.socket.write(post);
      await eventually(() => upstream.received.length === 1);
      const answer = await rawHttp({ port: proxy.port, bytes: post });
      expect(answer.head?.status).toBe(504);
      expect(upstream.received).toHaveLength(1);
      const quick = await rawHttp({ port: proxy.port, bytes: `GET /quick HTTP/1.1\r\n${host}\r\n` });
      expect(quick.head?.status).toBe(200);
      stuck.socket.destroy();
    });

    test.each([
      ['no HTTP at all', 'SSH-2.0-OpenSSH\r\n\r\n'],
      [
        'an answer with Content-Length and Transfer-Encoding',
        'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      ],
      ['an answer with two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'],
      ['a status that is none', 'HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n'],
      ['a header with a NUL', 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n'],
      [
        'an answer 101 to a request that asked for no upgrade',
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
      ],
      ['headers beyond the limit', `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(70_000)}\r\nContent-Length: 0\r\n\r\n`],
    ])('%s is a 502', async (_name, bytes) => {
      const upstream = await upstreamThat((_request, socket) => void socket.write(bytes));
      const proxy = await proxyTo(upstream);
      const answer = await rawHttp({ port: proxy.port, bytes: post });
      expect(answer.statuses).toEqual([502]);
    });

    test.each([
      ['a chunked answer', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n', ''],
      ['an answer with a length', 'Content-Length: 100\r\n\r\nhello', ''],
      ['an answer that turns into nonsense', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n', 'zz\r\n'],
    ])('%s that breaks off is seen as broken by the client', async (_name, begin, end) => {
      const upstream = await upstreamThat((_request, socket) => {
        socket.write(`HTTP/1.1 200 OK\r\n${begin}`);
        setTimeout(() => socket.end(end), 50);
      });
      const proxy = await proxyTo(upstream);
      const answer = await rawHttp({ port: proxy.port, bytes: get, until: 'close' });
      expect(answer.statuses).toEqual([200]);
      expect(answer.text).not.toContain('\r\n0\r\n\r\n');
      expect(['closed', 'reset']).toContain(answer.ended);
      expect(upstream.received).toHaveLength(1);
    });

    test('an HTTP/1.0 client, for which the end of the connection is the end of the answer, sees a reset', async () => {
      const upstream = await upstreamThat((_request, socket) => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
        setTimeout(() => socket.destroy(), 50);
      });
      const proxy = await proxyTo(upstream);
      const answer = await rawHttp({ port: proxy.port, bytes: 'GET / HTTP/1.0\r\n\r\n', until: 'close' });
      expect(answer.ended).toBe('reset');
    });

    test('an upstream that stops in the middle of its answer is cut off, and so is the client', async () => {
      const upstream = await upstreamThat((_request, socket) =>
        socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'),
      );
      const proxy = await proxyTo(upstream, { bodyIdleTimeoutMs: 150 });
      const answer = await rawHttp({ port: proxy.port, bytes: get, until: 'close' });
      expect(answer.text).not.toContain('\r\n0\r\n\r\n');
      await eventually(() => upstream.openConnections() === 0);
    });

    test('an event stream outlives every time-out, with a heartbeat and with none', async () => {
      const upstream = await upstreamThat((request, socket) => {
        const silent = request.requestLine.includes('/silent');
        const type = silent ? 'Text/Event-Stream' : 'text/event-stream; charset=utf-8';
        socket.write(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`);
        socket.write('7\r\n:first\n\r\n');
        if (silent) return;
        const beat = setInterval(() => socket.write('3\r\n:b\n\r\n'), 60);
        socket.on('close', () => clearInterval(beat));
      });
      const proxy = await proxyTo(upstream, {
        answerTimeoutMs: 100,
        bodyIdleTimeoutMs: 100,
        clientIdleTimeoutMs: 100,
        connectTimeoutMs: 100,
      });
      const silent = await connect(proxy.port);
      silent.socket.write(`GET /silent HTTP/1.1\r\n${host}\r\n`);
      await silent.until(':first');
      const beating = await connect(proxy.port);
      beating.socket.write(get);
      await eventually(() => beating.text().split(':b\n').length > 12);
      expect(silent.socket.destroyed).toBe(false);
      for (const socket of upstream.sockets) socket.write('6\r\n:last\n\r\n');
      await silent.until(':last');
      await beating.until(':last');
      silent.socket.destroy();
      beating.socket.destroy();
      await eventually(() => upstream.openConnections() === 0);
    });

    test('the head of an answer reaches the client though its body has not begun', async () => {
      const upstream = await upstreamThat((_request, socket) =>
        socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n'),
      );
      const proxy = await proxyTo(upstream);
      const client = await connect(proxy.port);
      client.socket.write(get);
      await client.until('\r\n\r\n');
      for (const socket of upstream.sockets) socket.write('hello');
      await client.until('hello');
      client.socket.destroy();
    });

    test('the first event reaches the client before the stream goes on', async () => {
      const upstream = await upstreamThat((_request, socket) =>
        socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n'),
      );
      const proxy = await proxyTo(upstream);
      const client = await connect(proxy.port);
      client.socket.write(get);
      await client.until('data: 1\n\n');
      client.socket.destroy();
    });

    test('a client that goes away while it waits has its upstream request ended at once', async () => {
      const upstream = await upstreamThat(() => {});
      const proxy = await proxyTo(upstream);
      for (const how of ['end', 'reset'] as const) {
        const client = await connect(proxy.port);
        client.socket.write(get);
        await eventually(() => upstream.openConnections() === 1);
        if (how === 'end') client.socket.end();
        else client.socket.resetAndDestroy();
        await eventually(() => upstream.openConnections() === 0);
        client.socket.destroy();
      }
    });

    test('a client that goes away in the middle of its upload has its upstream request ended, never completed', async () => {
      const upstream = await upstreamThat(() => {}, { when: 'head' });
      const proxy = await proxyTo(upstream);
      const client = await connect(proxy.port);
      client.socket.write(`PUT / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`);
      await eventually(() => upstream.received.length === 1);
      const seen: string[] = [];
      for (const socket of upstream.sockets) socket.on('data', (chunk) => void seen.push(chunk.toString('latin1')));
      client.socket.resetAndDestroy();
      await eventually(() => upstream.openConnections() === 0);
      expect(seen.join('')).not.toContain('0\r\n\r\n');
    });

    test('a client that goes away in the middle of its download stops the upstream', async () => {
      const upstream = await upstreamThat((_request, socket) => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
        const more = () => {
          while (!socket.destroyed && socket.write(`4000\r\n${'a'.repeat(0x4000)}\r\n`));
        };
        socket.on('drain', more);
        more();
      });
      const proxy = await proxyTo(upstream);
      const client = await connect(proxy.port);
      client.socket.write(get);
      await client.until('200 OK');
      client.socket.destroy();
      await eventually(() => upstream.openConnections() === 0);
    });

    test('a client that stops in the middle of its upload is told 408', async () => {
      const upstream = await upstreamThat(() => {}, { when: 'head' });
      const proxy = await proxyTo(upstream, { clientIdleTimeoutMs: 150 });
      const bytes = `PUT / HTTP/1.1\r\n${host}Content-Length: 10\r\n\r\nabc`;
      const answer = await rawHttp({ port: proxy.port, bytes });
      expect(answer.head?.status).toBe(408);
      await eventually(() => upstream.openConnections() === 0);
    });

    test('a client that never finishes its headers is told 408 and cut off', async () => {
      const upstream = await upstreamThat(() => {});
      const proxy = await proxyTo(upstream, { headersTimeoutMs: 200 });
      const answer = await rawHttp({ port: proxy.port, bytes: 'GET / HTTP/1.1\r\nHost: shop', until: 'close' });
      expect(answer.head?.status).toBe(408);
      expect(upstream.received).toEqual([]);
    });

    test('a slow upload that keeps moving outlives the time for an answer', async () => {
      const upstream = await upstreamThat((_request, socket) => void socket.write(ok()));
      const proxy = await proxyTo(upstream, { answerTimeoutMs: 200, clientIdleTimeoutMs: 200, bodyIdleTimeoutMs: 200 });
      const steps = Array.from({ length: 12 }, () => ['x', { waitMs: 50 }]).flat();
      const answer = await rawHttp({
        port: proxy.port,
        bytes: [`PUT / HTTP/1.1\r\n${host}Content-Length: 12\r\n\r\n`, ...steps],
      });
      expect(answer.head?.status).toBe(200);
      expect(upstream.received[0]?.rawBody).toBe('x'.repeat(12));
    });

    test('an upstream that answers 413 and closes in the middle of an upload is heard by the client, ten times of ten', async () => {
      const upstream = await upstreamThat(
        (_request, socket) => {
          socket.write('HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig');
          socket.destroySoon();
        },
        { when: 'head' },
      );
      const proxy = await proxyTo(upstream);
      for (let i = 0; i < 10; i++) {
        const client = await connect(proxy.port);
        client.socket.write(`PUT / HTTP/1.1\r\n${host}Content-Length: 4000000\r\n\r\n`);
        const part = 'a'.repeat(100_000);
        for (let sent = 0; sent < 40 && !client.socket.destroyed; sent++) {
          if (!client.socket.write(part)) await drained(client.socket);
        }
        await client.until('\r\n\r\nbig');
        expect(client.text()).toContain('HTTP/1.1 413 Content Too Large');
        client.socket.destroy();
      }
    });

    test('the head of an upload reaches the upstream though its body has not begun', async () => {
      const upstream = await upstreamThat(
        (_request, socket) => void socket.write('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n'),
        {
          when: 'head',
        },
      );
      const proxy = await proxyTo(upstream);
      const bytes = `PUT / HTTP/1.1\r\n${host}X-Latin: caf\xe9\r\nTransfer-Encoding: chunked\r\n\r\n`;
      expect((await rawHttp({ port: proxy.port, bytes })).head?.status).toBe(401);
      expect(upstream.received[0]?.one('x-latin')).toBe('caf\xe9');
    });

    test('an upstream that answers first and reads on gets the whole body', async () => {
      let bytes = 0;
      const upstream = await upstreamThat(
        (request, socket) => {
          bytes += request.rawBody.length;
          socket.on('data', (chunk) => {
            bytes += chunk.length;
          });
          socket.write(ok());
        },
        { when: 'head' },
      );
      const proxy = await proxyTo(upstream);
      const answer = await rawHttp({
        port: proxy.port,
        bytes: [`PUT / HTTP/1.1\r\n${host}Content-Length: 10\r\n\r\nhello`, { waitFor: '\r\n\r\nok' }, 'world'],
        until: { idleMs: 300 },
      });
      expect(answer.head?.status).toBe(200);
      await eventually(() => bytes === 10);
    });

    test('an upstream that answers first and then neither reads nor closes does not hold the client for ever', async () => {
      const upstream = await upstreamThat(
        (_request, socket) => {
          socket.write(ok());
          socket.pause();
        },
        { when: 'head' },
      );
      const proxy = await proxyTo(upstream, { clientIdleTimeoutMs: 200 });
      const client = await connect(proxy.port);
      client.socket.write(`PUT / HTTP/1.1\r\n${host}Content-Length: 500000000\r\n\r\n`);
      await client.until('\r\n\r\nok');
      const part = Buffer.alloc(1_000_000);
      const more = () => {
        while (!client.socket.destroyed && client.socket.write(part));
      };
      client.socket.on('drain', more);
      more();
      await eventually(() => client.socket.destroyed);
    });

    test('three hundred open event streams leave room for a request', async () => {
      const upstream = await upstreamThat((request, socket) => {
        if (request.requestLine.includes('/quick')) socket.write(ok());
        else socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n:\n\n');
      });
      const proxy = await proxyTo(upstream);
      const clients = await Promise.all(Array.from({ length: 300 }, () => connect(proxy.port)));
      for (const client of clients) client.socket.write(get);
      await Promise.all(clients.map((client) => client.until(':\n')));
      const quick = await rawHttp({ port: proxy.port, bytes: `GET /quick HTTP/1.1\r\n${host}\r\n` });
      expect(quick.body).toBe('ok');
      for (const client of clients) client.socket.destroy();
      await eventually(() => upstream.openConnections() <= 1);
    });

    test('Host never chooses where a request goes', async () => {
      const upstream = await upstreamThat((_request, socket) => void socket.write(ok('right')));
      const other = await upstreamThat((_request, socket) => void socket.write(ok('wrong')));
      const proxy = await proxyTo(upstream);
      const named = `127.0.0.1:${other.port}`;
      for (const bytes of [
        `GET / HTTP/1.1\r\nHost: ${named}\r\n\r\n`,
        `GET http://${named}/ HTTP/1.1\r\nHost: ${named}\r\n\r\n`,
        `GET //${named}/ HTTP/1.1\r\n${host}\r\n`,
      ]) {
        expect((await rawHttp({ port: proxy.port, bytes })).body).toBe('right');
      }
      expect(other.connections()).toBe(0);
    });

    test('after a half-close the client is taken to have gone, as Node and nginx take it', async () => {
      const upstream = await upstreamThat(() => {});
      const proxy = await proxyTo(upstream);
      const answer = await rawHttp({ port: proxy.port, bytes: get, halfClose: true, until: 'close' });
      expect(answer.text).toBe('');
      await eventually(() => upstream.openConnections() === 0);
      const after = await rawHttp({ port: proxy.port, bytes: `TRACE / HTTP/1.1\r\n${host}\r\n` });
      expect(after.head?.status).toBe(405);
    });

    test('one client’s broken upload does not disturb another’s requests', async () => {
      const upstream = await upstreamThat((_request, socket) => void socket.write(ok()));
      const proxy = await proxyTo(upstream);
      for (let i = 0; i < 20; i++) {
        const broken = await connect(proxy.port);
        broken.socket.write(`POST / HTTP/1.1\r\n${host}Content-Length: 50\r\n\r\nabc`);
        const whole = rawHttp({ port: proxy.port, bytes: post });
        broken.socket.resetAndDestroy();
        expect((await whole).head?.status).toBe(200);
      }
      expect(upstream.received.every(({ rawBody }) => rawBody === 'hello')).toBe(true);
    });
  });
}

type Client = { socket: Socket; text(): string; until(part: string): Promise<void> };

async function connect(port: number): Promise<Client> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const received: Buffer[] = [];
  socket.on('data', (chunk) => void received.push(chunk));
  socket.on('error', () => {});
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  const text = () => Buffer.concat(received).toString('latin1');
  return { socket, text, until: async (part) => void (await eventually(() => text().includes(part))) };
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}
