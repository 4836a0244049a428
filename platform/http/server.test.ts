import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { createLog } from '../log.ts';
import { eventually, rawHttp } from '../testing/servers.ts';
import { type HttpServerOptions, type RunningServer, startHttpServer } from './server.ts';

const log = createLog({ name: 'test', level: 'silent' });
const running: RunningServer[] = [];

async function start(options: Partial<HttpServerOptions> = {}): Promise<RunningServer> {
  const handler = (_req: IncomingMessage, res: ServerResponse) => void res.end('hello');
  const server = await startHttpServer({ handler, host: '127.0.0.1', port: 0, log, ...options });
  running.push(server);
  return server;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.drain(0)));
});

/** A handler whose requests wait until they are told to answer. */
function holding() {
  const held: ServerResponse[] = [];
  return { held, handler: (_req: IncomingMessage, res: ServerResponse) => void held.push(res) };
}

const getOnce = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
/** After whose answer the connection is closed. */
const lastGet = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';

describe('limits', () => {
  test('headers that are too large are answered 431 as a problem', async () => {
    const { port } = await start({ limits: { maxHeaderBytes: 2_048 } });
    const bytes = `GET / HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(5_000)}\r\n\r\n`;
    const { head, body, ended } = await rawHttp({ port, bytes, until: 'close' });
    expect(head?.status).toBe(431);
    expect(head?.headers['content-type']).toEqual(['application/problem+json; charset=utf-8']);
    expect(head?.headers.connection).toEqual(['close']);
    expect(JSON.parse(body)).toMatchObject({ status: 431, title: 'Request Header Fields Too Large' });
    expect(ended).toBe('closed');
  });

  test('headers that do not come in time are answered 408, and so is a body', async () => {
    const handler = (req: IncomingMessage) => void req.resume();
    const { port } = await start({ handler, limits: { headersTimeoutMs: 100, requestTimeoutMs: 200 } });
    const slowHead = await rawHttp({ port, bytes: 'GET / HTTP/1.1\r\nhost: a\r\n', until: 'close' });
    expect(slowHead.statuses).toEqual([408]);
    const bytes = 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf';
    const slowBody = await rawHttp({ port, bytes, until: 'close' });
    expect(slowBody.statuses).toEqual([408]);
  });

  test.each([
    ['no HTTP at all', 'hello\r\n\r\n'],
    ['two lengths', 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    [
      'a length and chunks',
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a space before the colon', 'GET / HTTP/1.1\r\nhost : a\r\n\r\n'],
    ['a bad chunk', 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
  ])('%s is answered 400 as a problem', async (_what, bytes) => {
    const { port } = await start({ handler: (req) => void req.on('error', () => {}).resume() });
    const { statuses, body } = await rawHttp({ port, bytes, until: 'close' });
    expect(statuses).toEqual([400]);
    expect(JSON.parse(body)).toMatchObject({ title: 'Bad Request' });
  });

  test('a broken request after a good one is answered after it, never in its place', async () => {
    const { held, handler } = holding();
    const { port } = await start({ handler });
    const answers = rawHttp({ port, bytes: `${getOnce}nonsense\r\n\r\n`, until: 'close' });
    await eventually(() => held.length === 1);
    held[0]?.end('the first');
    const { statuses, body } = await answers;
    expect(statuses).toEqual([200, 400]);
    expect(body).toContain('the first');
  });

  test('a broken body whose answer has begun cuts the connection instead of writing into it', async () => {
    const { port } = await start({
      handler: (req, res) => {
        req.on('error', () => {});
        res.write('begun');
        req.resume();
      },
    });
    const head = 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n';
    const { statuses, text } = await rawHttp({ port, bytes: [head, { waitFor: 'begun' }, 'zz\r\n'], until: 'close' });
    expect(statuses).toEqual([200]);
    expect(text).not.toContain('400');
  });

  test('requests above the limit are answered 503 with Retry-After and counted, but never health checks', async () => {
    const metrics = new Registry();
    const { held, handler } = holding();
    const listener = (req: IncomingMessage, res: ServerResponse) =>
      req.url === '/health/live' ? void res.end('ok') : handler(req, res);
    const server = await start({ handler: listener, metrics, limits: { maxRequestsInFlight: 2 } });
    const first = [fetch(server.url), fetch(server.url)];
    await eventually(() => held.length === 2);
    const shed = await fetch(server.url, { method: 'POST', body: 'x' });
    expect(shed.status).toBe(503);
    expect(shed.headers.get('retry-after')).toBe('1');
    expect(shed.headers.get('connection')).toBe('close');
    expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
    expect(await metrics.metrics()).toContain('http_requests_shed_total{server="http"} 1');
    for (const res of held) res.end();
    expect((await Promise.all(first)).map(({ status }) => status)).toEqual([200, 200]);
    await eventually(() => server.inFlight() === 0);
  });

  test('requests of a client that went away are not in flight any more, pipelined ones included', async () => {
    const { held, handler } = holding();
    const server = await start({ handler });
    const socket = net.connect(server.port, '127.0.0.1').on('error', () => {});
    socket.write(getOnce.repeat(3));
    await eventually(() => held.length === 3);
    socket.destroy();
    await eventually(() => server.inFlight() === 0, { withinMs: 60_000 });
  });

  test('a connection above the limit takes the place of one that has asked nothing, then of the one that is idle the longest', async () => {
    const metrics = new Registry();
    const { port } = await start({ metrics, limits: { maxConnections: 2 } });
    const closed: string[] = [];
    const connect = async (name: string, bytes: string) => {
      const socket = net.connect(port, '127.0.0.1');
      socket.on('error', () => {}).on('close', () => closed.push(name));
      await once(socket, 'connect');
      socket.write(bytes);
      return socket;
    };
    const used = await connect('used', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(used, 'data');
    await connect('half a head', 'GET / HTTP/1.1\r\nHo');
    await eventually(async () => expect(await metrics.metrics()).toContain('http_connections_open{server="http"} 2'));
    expect((await rawHttp({ port, bytes: lastGet, until: 'close' })).head?.status).toBe(200);
    await eventually(() => expect(closed).toEqual(['half a head']));
    const next = await connect('next', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(next, 'data');
    expect((await rawHttp({ port, bytes: lastGet, until: 'close' })).head?.status).toBe(200);
    await eventually(() => expect(closed).toEqual(['half a head', 'used']));
    expect(await metrics.metrics()).toContain('http_connections_evicted_total{server="http"} 2');
    next.destroy();
  });

  test('connections above the limit are closed and counted where all others are busy', async () => {
    const metrics = new Registry();
    const { held, handler } = holding();
    const { port } = await start({ handler, metrics, limits: { maxConnections: 1 } });
    const first = net.connect(port, '127.0.0.1', () => first.write('GET /held HTTP/1.1\r\nHost: a\r\n\r\n'));
    await eventually(() => held.length === 1);
    const { text } = await rawHttp({ port, bytes: getOnce, until: 'close' });
    expect(text).toBe('');
    expect(await metrics.metrics()).toContain('http_connections_dropped_total{server="http"} 1');
    first.destroy();
  });

  test('nothing is done that comes behind an answer that closes, nor behind an upgrade that is not taken', async () => {
    const asked: string[] = [];
    const { port } = await start({
      handler: (req, res) => {
        asked.push(req.url ?? '');
        if (req.url === '/refused') res.shouldKeepAlive = false;
        res.end('x');
      },
    });
    const behind = 'GET /behind HTTP/1.1\r\nHost: a\r\n\r\n';
    const upgrade = 'GET /h2c HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n';
    for (const first of ['GET /refused HTTP/1.1\r\nHost: a\r\n\r\n', upgrade]) {
      // Apart, so that the second may come before the first's end has reached the client.
      for (let turn = 0; turn < 10; turn++) {
        const answer = await rawHttp({ port, bytes: [first, behind], until: 'close' });
        expect(answer.statuses.length).toBeLessThanOrEqual(1);
      }
      const together = await rawHttp({ port, bytes: first + behind, until: 'close' });
      expect(together.head?.headers.connection).toEqual(['close']);
    }
    expect(new Set(asked)).toEqual(new Set(['/refused', '/h2c']));
  });

  test.each([
    ['CONNECT', 'CONNECT other.test:22 HTTP/1.1\r\nHost: a\r\n\r\n', undefined],
    ['an upgrade', 'GET /w HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n', () => {}],
  ])(
    '%s behind requests that are not answered yet cuts them off, and none stays in flight',
    async (_name, last, onUpgrade) => {
      const { held, handler } = holding();
      const closed: string[] = [];
      const server = await start({
        handler: (req, res) => {
          res.once('close', () => closed.push(req.url ?? ''));
          handler(req, res);
        },
        ...(onUpgrade === undefined ? {} : { onUpgrade }),
      });
      const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
      const answer = await rawHttp({
        port: server.port,
        bytes: get('/1') + get('/2') + get('/3') + last,
        until: 'close',
      });
      expect(answer.text).toBe('');
      expect(held).toHaveLength(3);
      await eventually(() => expect(closed.sort()).toEqual(['/1', '/2', '/3']));
      expect(server.inFlight()).toBe(0);
    },
  );

  test('CONNECT is answered 501', async () => {
    const { port } = await start();
    const answer = await rawHttp({ port, bytes: 'CONNECT other.test:22 HTTP/1.1\r\nHost: a\r\n\r\n', until: 'close' });
    expect(answer.statuses).toEqual([501]);
  });

  test('an idle connection is kept longer than a proxy’s agent keeps it', async () => {
    const { server } = await start();
    expect(server.keepAliveTimeout).toBe(65_000);
    expect(server.headersTimeout).toBe(10_000);
    expect(server.requestTimeout).toBe(120_000);
  });

  test('a request that expects 100-continue is shed before it has sent its body', async () => {
    const { held, handler } = holding();
    const { port, url } = await start({ handler, limits: { maxRequestsInFlight: 1 } });
    const bytes = 'POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n';
    const taken = rawHttp({ port, bytes: [bytes, { waitFor: '100 Continue' }, 'body'] });
    await eventually(() => held.length === 1);
    expect((await rawHttp({ port, bytes, until: 'close' })).statuses).toEqual([503]);
    held[0]?.end();
    expect((await taken).statuses).toEqual([100, 200]);
    expect(url).toBe(`http://127.0.0.1:${port}`);
  });

  test('a port that is taken is an error that names it', async () => {
    const { port } = await start();
    await expect(start({ port })).rejects.toThrow(`${port}`);
  });
});

describe('drain', () => {
  test('waits for what is in flight, announces the end, and takes nothing new', async () => {
    const { held, handler } = holding();
    const server = await start({ handler });
    const answer = rawHttp({ port: server.port, bytes: getOnce, until: 'close' });
    await eventually(() => held.length === 1);
    expect(server.inFlight()).toBe(1);
    const drained = server.drain(5_000);
    await expect(fetch(server.url)).rejects.toThrow();
    held[0]?.end('whole');
    const { head, body } = await answer;
    expect(head?.headers.connection).toEqual(['close']);
    expect(body).toContain('whole');
    expect(await drained).toBe('drained');
    expect(server.inFlight()).toBe(0);
  });

  test('closes the connection after an answer whose headers went out before', async () => {
    const { held, handler } = holding();
    const server = await start({ handler });
    const answer = rawHttp({ port: server.port, bytes: getOnce, until: 'close' });
    await eventually(() => held.length === 1);
    held[0]?.write('early');
    const drained = server.drain(5_000);
    held[0]?.end(' and late');
    const { text, ended } = await answer;
    expect(text).toContain(' and late');
    expect(ended).toBe('closed');
    expect(await drained).toBe('drained');
  });

  test('closes idle connections, used and unused', async () => {
    const server = await start();
    const used = rawHttp({ port: server.port, bytes: getOnce, until: 'close' });
    const unused = rawHttp({ port: server.port, bytes: [], until: 'close' });
    await eventually(async () => expect(await connections(server)).toBe(2));
    await eventually(() => server.inFlight() === 0);
    expect(await server.drain(5_000)).toBe('drained');
    expect((await used).statuses).toEqual([200]);
    expect((await unused).ended).toBe('closed');
  });

  test('still answers what comes on an open connection during idleMs, and says that it is the last', async () => {
    const server = await start();
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ask = () =>
      new Promise<IncomingMessage>((resolve, reject) => {
        http.get(server.url, { agent }, (res) => res.resume().once('end', () => resolve(res))).on('error', reject);
      });
    await ask();
    const drained = server.drain(5_000, { idleMs: 2_000 });
    const last = await ask();
    expect(last.statusCode).toBe(200);
    expect(last.headers.connection).toBe('close');
    expect(await drained).toBe('drained');
    agent.destroy();
  });

  test('cuts at the deadline what has not ended, counts it, and says so', async () => {
    const metrics = new Registry();
    const { held, handler } = holding();
    const server = await start({ handler, metrics });
    const answer = rawHttp({ port: server.port, bytes: getOnce, until: 'close' });
    await eventually(() => held.length === 1);
    expect(await server.drain(50)).toBe('cut');
    expect((await answer).text).toBe('');
    expect(await metrics.metrics()).toContain('http_drain_cut_total{server="http"} 1');
  });

  test('called twice is one drain', async () => {
    const server = await start();
    const [first, second] = await Promise.all([server.drain(1_000), server.drain(1_000)]);
    expect([first, second]).toEqual(['drained', 'drained']);
  });
});

describe('upgrades', () => {
  const upgrade = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
  const switched = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
  const onUpgrade = (_req: IncomingMessage, socket: Duplex) => void socket.write(switched);

  test('go to onUpgrade, and are told when draining begins', async () => {
    const server = await start({ onUpgrade, onDrainUpgraded: (socket) => void socket.end('bye') });
    const answer = rawHttp({ port: server.port, bytes: upgrade, until: 'close' });
    await eventually(() => server.upgraded() === 1);
    expect(server.inFlight()).toBe(0);
    const drained = server.drain(5_000);
    const { statuses, text } = await answer;
    expect(statuses).toEqual([101]);
    expect(text).toMatch(/bye$/);
    expect(await drained).toBe('drained');
  });

  test('that do not go away are cut at the deadline', async () => {
    const server = await start({ onUpgrade });
    const answer = rawHttp({ port: server.port, bytes: upgrade, until: 'close' });
    await eventually(() => server.upgraded() === 1);
    expect(await server.drain(50)).toBe('cut');
    expect((await answer).ended).toMatch(/closed|reset/);
  });

  test('to anything but WebSocket, or without onUpgrade, are ordinary requests', async () => {
    const withUpgrade = await start({ onUpgrade });
    const h2c = upgrade.replace('websocket', 'h2c');
    expect((await rawHttp({ port: withUpgrade.port, bytes: h2c })).statuses).toEqual([200]);
    const without = await start();
    expect((await rawHttp({ port: without.port, bytes: upgrade })).statuses).toEqual([200]);
  });

  test('that fail later do not bring the process down', async () => {
    const server = await start({ onUpgrade: (_req, socket) => void socket.destroy(new Error('reset')) });
    await rawHttp({ port: server.port, bytes: upgrade, until: 'close' });
    await eventually(() => server.upgraded() === 0);
    expect((await fetch(server.url)).status).toBe(200);
  });
});

function connections({ server }: RunningServer): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}
