import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { ClientHttp2Session } from 'node:http2';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { Registry } from 'prom-client';
import {
  block,
  codes,
  connectRaw,
  flagOf,
  frame,
  frameTypes,
  getFrame,
  requestHead,
  resetFrame,
} from '../testing/raw-http2.ts';
import { ok, type RawUpstream, startRawUpstream } from '../testing/raw-upstream.ts';
import { startHeldProxy } from '../testing/start-held-proxy.ts';
import {
  askHttp2,
  connectHttp2,
  makeTestCertificate,
  readHttp2,
  startHttp2Proxy,
  type TestCertificate,
} from '../testing/start-http2-proxy.ts';
import type { InProcessProxy } from '../testing/start-transparent-proxy.ts';

let tls: TestCertificate;
let raw: RawUpstream;
let rawAnswer = ok();
let upstream: http.Server;
let serve: (req: IncomingMessage, res: ServerResponse) => void;
let toRaw: InProcessProxy;
let proxy: InProcessProxy;
const registry = new Registry();
const open: { close(): unknown }[] = [];

beforeAll(async () => {
  tls = await makeTestCertificate();
  raw = await startRawUpstream((_request, socket) => void socket.write(rawAnswer, 'latin1'));
  upstream = http.createServer((req, res) => serve(req, res)).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const origin = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  toRaw = await startHttp2Proxy(tls, { monolith: [raw.origin] });
  proxy = await startHttp2Proxy(tls, { monolith: [origin], maxHeaderBytes: 4_096, metrics: registry });
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
afterAll(async () => {
  await toRaw.close();
  await proxy.close();
  await raw.close();
  upstream.closeAllConnections();
  upstream.close();
});

const session = async (port = proxy.port): Promise<ClientHttp2Session> => {
  const client = await connectHttp2(port);
  open.unshift({ close: () => client.destroy() });
  return client;
};
const rawClient = async (port = proxy.port) => {
  const client = await connectRaw(port);
  open.unshift(client);
  return client;
};
const last = () => raw.received.at(-1)!;
const echo = (req: IncomingMessage, res: ServerResponse) => void req.pipe(res);

describe('a request in HTTP/2', () => {
  test('reaches the upstream as one in HTTP/1.1, with nothing of the stream left and its cookies in one line', async () => {
    const client = await rawClient(toRaw.port);
    client.send(
      getFrame(
        1,
        [
          ['x-twice', 'a'],
          ['cookie', 'a=1'],
          ['x-latin', 'caf\xe9'],
          ['cookie', 'b=2'],
          ['x-twice', 'b'],
          ['x-forwarded-for', '1.2.3.4'],
          ['x-service-token', 'stolen'],
          ['te', 'trailers'],
        ],
        { path: '/a//b/../%2F?q=1&q=2' },
      ),
    );
    await client.seen(frameTypes.data, 1);
    expect(last().requestLine).toBe('GET /a//b/../%2F?q=1&q=2 HTTP/1.1');
    expect(last().headers.slice(0, 5)).toEqual([
      ['host', 'shop.test'],
      ['x-twice', 'a'],
      ['x-twice', 'b'],
      ['cookie', 'a=1; b=2'],
      ['x-latin', 'caf\xe9'],
    ]);
    expect(last().all('x-forwarded-for')).toEqual(['127.0.0.1']);
    expect(last().all('x-forwarded-proto')).toEqual(['https']);
    expect(last().all('forwarded')).toEqual(['for=127.0.0.1;host="shop.test";proto=https']);
    expect(last().all('x-service-token')).toEqual([]);
    expect(last().all('te')).toEqual(['trailers']);
    expect(last().headers.filter(([name]) => name.startsWith(':'))).toEqual([]);
    expect(toRaw.finished.at(-1)?.facts?.headers).toMatchObject({
      host: 'shop.test',
      cookie: 'a=1; b=2',
      'x-twice': 'a, b',
    });
    expect([last().all('transfer-encoding'), last().all('content-length'), last().rawBody]).toEqual([[], [], '']);
  });

  test('gets the answer as it is but for what belongs to a connection of HTTP/1.1', async () => {
    rawAnswer =
      'HTTP/1.1 201 Made up\r\nX-Odd: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n' +
      'Keep-Alive: timeout=5\r\nETag: "a"\r\nETag: "b"\r\nX-Latin: caf\xe9\r\nX-Strangler-Side: x\r\nTransfer-Encoding: chunked\r\n\r\n' +
      '3\r\nabc\r\n0\r\n\r\n';
    const answer = await askHttp2(await session(toRaw.port), { ':path': '/a' });
    rawAnswer = ok();
    expect([answer.status, answer.body.toString()]).toEqual([201, 'abc']);
    expect(answer.rawHeaders).toEqual([
      ...['x-odd', '1', 'set-cookie', 'a=1', 'set-cookie', 'b=2', 'etag', '"a"', 'etag', '"b"', 'x-latin', 'caf\xe9'],
    ]);
  });

  test.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 200, ['content-length', '5']],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', 204, []],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', 304, ['etag', '"a"']],
    ['DELETE', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 200, ['content-length', '0']],
  ])('%s answered without a body ends there', async (method, bytes, status, rawHeaders) => {
    rawAnswer = bytes;
    const answer = await askHttp2(await session(toRaw.port), { ':path': '/', ':method': method });
    rawAnswer = ok();
    expect([answer.status, answer.rawHeaders, answer.body.length]).toEqual([status, rawHeaders, 0]);
  });

  test('keeps the length of its body, is sent in chunks where it has none, and is whole both ways', async () => {
    serve = (req, res) => {
      res.setHeader('x-framing', `${req.headers['content-length']} ${req.headers['transfer-encoding']}`);
      echo(req, res);
    };
    const client = await session();
    const body = randomBytes(3 * 1024 ** 2);
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    const [sized, chunked, empty] = await Promise.all([
      askHttp2(client, { ':path': '/', ':method': 'PUT', 'content-length': body.length }, body),
      askHttp2(client, { ':path': '/', ':method': 'POST' }, body),
      askHttp2(client, { ':path': '/', ':method': 'POST', 'content-length': 0 }, ''),
    ]);
    expect([sized, chunked, empty].map(({ rawHeaders }) => rawHeaders[1])).toEqual([
      ...[`${body.length} undefined`, 'undefined chunked', '0 undefined'],
    ]);
    expect([sized, chunked].map((answer) => digest(answer.body))).toEqual([digest(body), digest(body)]);
  });

  test('carries trailers both ways, and none that would frame, route or authenticate', async () => {
    serve = (req, res) => {
      res.writeHead(200, { trailer: 'x-end' });
      req.on('end', () => {
        res.addTrailers({ 'x-end': JSON.stringify(req.trailers) });
        res.end();
      });
      req.resume();
    };
    const stream = (await session()).request(
      { ':path': '/', ':method': 'POST', ':authority': 'shop.test', trailer: 'x-sum' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () =>
      stream.sendTrailers({ 'x-sum': '7', authorization: 'Bearer x', 'x-request-id': 'x' }),
    );
    const answer = readHttp2(stream);
    stream.end('abc');
    expect((await answer).trailers).toMatchObject({ 'x-end': '{"x-sum":"7"}' });
  });

  test('that expects 100-continue gets it when there is a connection for its body, and interim answers are passed on', async () => {
    serve = (req, res) => {
      res.writeEarlyHints({ link: '</a.css>; rel=preload' });
      echo(req, res);
    };
    const client = await session();
    const stream = client.request({ ':path': '/', ':method': 'PUT', ':authority': 'a', expect: '100-continue' });
    const answer = readHttp2(stream);
    await once(stream, 'continue');
    stream.end('abc');
    const { status, body, informed } = await answer;
    expect([status, body.toString(), informed]).toEqual([200, 'abc', [100, 103]]);
    await expect(askHttp2(client, { ':path': '/', expect: 'a-pony' })).resolves.toMatchObject({ status: 417 });
  });
});

describe('what is not as it should be', () => {
  const connectHead = [
    [':method', 'CONNECT'],
    [':authority', 'shop.test'],
  ] as const;
  const refusals: [string, Buffer, number][] = [
    ['a Host that is not the authority', getFrame(1, [['host', 'other.test']]), 400],
    ['another scheme', getFrame(1, [], { scheme: 'http' }), 400],
    ['a URL for a path', getFrame(1, [], { path: 'http://evil.test/', scheme: 'gopher' }), 400],
    ['a fragment', getFrame(1, [], { path: '/a#b' }), 400],
    ['TRACE', getFrame(1, [], { method: 'TRACE' }), 405],
    ['content-length in disguise', getFrame(1, [['content_length', '3']]), 400],
    ['a method of nobody', getFrame(1, [], { method: 'FROB' }), 501],
    ['too many header bytes', getFrame(1, [['x-a', 'x'.repeat(5_000)]]), 431],
    [
      'too many header lines',
      getFrame(
        1,
        Array.from({ length: 201 }, (_, at) => [`x${at}`, ''] as const),
      ),
      431,
    ],
    ['CONNECT', frame(frameTypes.headers, flagOf.endHeaders, 1, block(connectHead)), 501],
  ];
  test('is answered, goes nowhere, and leaves the connection to others', async () => {
    let asked = 0;
    serve = (_req, res) => {
      asked += 1;
      res.end('ok');
    };
    const seen = await Promise.all(
      refusals.map(async ([what, bytes]): Promise<[string, number]> => {
        const client = await rawClient();
        client.send(bytes);
        const head = await client.seen(frameTypes.headers, 1);
        client.send(getFrame(3, [['host', 'SHOP.test']]));
        await client.seen(frameTypes.data, 3);
        return [what, statusIn(head.payload)];
      }),
    );
    expect(seen).toEqual(refusals.map(([what, , status]) => [what, status]));
    expect(asked).toBe(refusals.length);
  });

  /** The status of an answer: one of HPACK's table, or three digits behind an index into it. */
  const statusIn = (payload: Buffer): number => {
    const table = [200, 204, 206, 304, 400, 404, 500];
    const first = payload[0]!;
    if ((first & 0x80) !== 0) return table[(first & 0x7f) - 8]!;
    return Number(huffmanDigits(payload.subarray(2, 2 + (payload[1]! & 0x7f)), (payload[1]! & 0x80) !== 0));
  };
  /** Digits alone (RFC 7541, appendix B): 0 to 2 have five bits, the others six. */
  const huffmanDigits = (bytes: Buffer, coded: boolean): string => {
    if (!coded) return bytes.toString('latin1');
    const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
    let digits = '';
    for (let at = 0; digits.length < 3; ) {
      const five = Number.parseInt(bits.slice(at, at + 5), 2);
      digits += five < 3 ? `${five}` : `${Number.parseInt(bits.slice(at, at + 6), 2) - 0x19 + 3}`;
      at += five < 3 ? 5 : 6;
    }
    return digits;
  };

  test.each([
    ['connection', 'keep-alive'],
    ['keep-alive', 'timeout=5'],
    ['proxy-connection', 'close'],
    ['transfer-encoding', 'chunked'],
    ['upgrade', 'websocket'],
    ['te', 'gzip'],
    ['X-Upper', '1'],
    [':path', '/second'],
    [':authority', 'a@shop.test'],
    [':scheme', 'http://evil.test/?'],
    ['content-length', '3'],
    ['content-length', '3, 3'],
  ])(
    '%s: %j is a malformed request: its stream is reset or refused, and no upstream hears of it',
    async (name, value) => {
      let asked = 0;
      serve = (_req, res) => {
        asked += 1;
        res.end('ok');
      };
      const client = await rawClient();
      client.send(getFrame(1, [[name, value]]));
      await eventually(
        () =>
          client.closed() || client.frames.some(({ type, stream }) => stream === 1 && type !== frameTypes.windowUpdate),
      );
      const ended = client.frames.find(({ type, stream }) => type === frameTypes.reset && stream === 1);
      const refused = client.frames.find(({ type, stream }) => type === frameTypes.headers && stream === 1);
      expect(ended?.payload.readUInt32BE() === codes.protocol || statusIn(refused!.payload) === 400).toBe(true);
      expect(asked).toBe(0);
    },
  );

  test('what no header may say goes no further, and makes no header of its own', async () => {
    const client = await rawClient(toRaw.port);
    client.send(
      getFrame(1, [
        ['x-line', 'a\r\nx-smuggled: 1'],
        ['x-nul', 'a\0b'],
        ['x-kept', '1'],
      ]),
    );
    await client.seen(frameTypes.data, 1);
    expect(last().headers.map(([name]) => name)).not.toEqual(expect.arrayContaining(['x-line']));
    expect([last().all('x-smuggled'), last().all('x-nul'), last().all('x-kept')]).toEqual([[], [], ['1']]);
  });

  test('a WebSocket over HTTP/2 is not offered, and a client that asks all the same is refused', async () => {
    const client = await session();
    if (client.remoteSettings.maxConcurrentStreams === undefined) await once(client, 'remoteSettings');
    expect(client.remoteSettings.enableConnectProtocol).toBe(false);
    const other = await rawClient();
    const head = requestHead([[':protocol', 'websocket']], { method: 'CONNECT' });
    other.send(frame(frameTypes.headers, flagOf.endHeaders, 1, head));
    expect((await other.seen(frameTypes.reset, 1)).payload.readUInt32BE()).toBe(codes.protocol);
  });

  test('a body longer or shorter than its length is never taken for the whole', async () => {
    const ends: string[] = [];
    serve = (req, res) => {
      req.on('end', () => ends.push('end')).on('error', () => ends.push('broken'));
      req.resume();
      req.on('end', () => res.end());
    };
    for (const body of ['ab', 'abcd']) {
      const client = await rawClient();
      const head = requestHead([['content-length', '3']], { method: 'POST' });
      client.send(frame(frameTypes.headers, flagOf.endHeaders, 1, head));
      client.send(frame(frameTypes.data, flagOf.endStream, 1, Buffer.from(body)));
      await eventually(() => client.closed() || client.frames.some(({ type }) => type === frameTypes.reset));
    }
    await eventually(() => toEqualBroken(ends));
  });
  const toEqualBroken = (ends: readonly string[]): boolean => {
    expect(ends).not.toContain('end');
    return proxy.inFlight() === 0;
  };
});

describe('streams that move slowly or end early', () => {
  test('a request that its client takes back is taken back from the upstream, whatever code it gives', async () => {
    for (const code of [codes.cancel, codes.none]) {
      const aborted = Promise.withResolvers<string>();
      const begun = Promise.withResolvers<void>();
      serve = (req) => {
        begun.resolve();
        req.on('end', () => aborted.resolve('end'));
        req.on('error', () => aborted.resolve('aborted'));
        req.resume();
      };
      const client = await rawClient();
      client.send(frame(frameTypes.headers, flagOf.endHeaders, 1, requestHead([], { method: 'POST' })));
      client.send(frame(frameTypes.data, 0, 1, Buffer.from('half')));
      await begun.promise;
      client.send(resetFrame(1, code));
      expect(await aborted.promise).toBe('aborted');
      await eventually(() => proxy.inFlight() === 0);
      expect(proxy.finished.at(-1)?.outcome.kind).toBe('client-aborted');
    }
  });

  test('half a body is not the whole where its answer has gone before and the stream ends without an error', async () => {
    const ended = Promise.withResolvers<string>();
    serve = (req, res) => {
      res.writeHead(200, { 'content-length': 2 }).end('ok');
      req.on('end', () => ended.resolve('end'));
      req.socket.once('close', () => ended.resolve('aborted'));
      req.resume();
    };
    const client = await rawClient();
    client.send(frame(frameTypes.headers, flagOf.endHeaders, 1, requestHead([], { method: 'POST' })));
    client.send(frame(frameTypes.data, 0, 1, Buffer.from('half')));
    await client.seen(frameTypes.data, 1);
    client.send(resetFrame(1, codes.none));
    expect(await ended.promise).toBe('aborted');
  });

  test('an answer that breaks off resets its stream and no other', async () => {
    serve = (req, res) => {
      if (req.url === '/good') res.end('good');
      else {
        res.writeHead(200, { 'content-length': 100 }).write('half');
        setImmediate(() => res.destroy());
      }
    };
    const client = await session();
    const broken = askHttp2(client, { ':path': '/broken' });
    await expect(broken).rejects.toThrow();
    expect((await askHttp2(client, { ':path': '/good' })).body.toString()).toBe('good');
  });

  test('back-pressure reaches from the client to the upstream and back', async () => {
    let sent = 0;
    let received = 0;
    const chunk = Buffer.alloc(64 * 1024);
    const answering = Promise.withResolvers<void>();
    serve = (req, res) => {
      if (req.method === 'POST') {
        // Takes the beginning of the body and no more.
        req.once('data', () => req.pause());
        return;
      }
      const write = () => {
        while (sent < 64 * 1024 ** 2) {
          sent += chunk.length;
          if (!res.write(chunk)) {
            res.once('drain', write);
            return;
          }
        }
        answering.resolve();
        res.end();
      };
      write();
    };
    const client = await session();
    const reading = client.request({ ':path': '/', ':authority': 'a' });
    await once(reading, 'response');
    const writing = client.request({ ':path': '/', ':method': 'POST', ':authority': 'a' });
    const fill = () => {
      while (received < 64 * 1024 ** 2) {
        received += chunk.length;
        if (!writing.write(chunk)) {
          writing.once('drain', fill);
          return;
        }
      }
    };
    fill();
    let before = -1;
    await eventually(() => {
      const still = before === sent + received;
      before = sent + received;
      return still;
    });
    // What kernels and buffers hold on the way; both had 64 MiB to send.
    expect(sent).toBeLessThan(24 * 1024 ** 2);
    expect(received).toBeLessThan(24 * 1024 ** 2);
    reading.close();
    writing.close();
    await eventually(() => proxy.inFlight() === 0);
  });

  test('a held write keeps its body unread, and goes to the new owner whole', async () => {
    const service = await startRawUpstream((_request, socket) => void socket.write(ok('service')));
    const held = await startHeldProxy({ monolith: [raw.origin], service: [service.origin], more: { tls, http2: {} } });
    open.unshift(service, held);
    held.hold();
    const client = await rawClient(held.port);
    client.send(
      frame(frameTypes.headers, flagOf.endHeaders, 1, requestHead([], { method: 'POST', path: '/api/products' })),
    );
    for (let at = 0; at < 3; at += 1) client.send(frame(frameTypes.data, 0, 1, Buffer.alloc(16_000, 'x')));
    await eventually(() => held.heldNow() === 1);
    client.send(getFrame(3, [], { path: '/other' }));
    await client.seen(frameTypes.data, 3);
    // Leave to send more on that stream is given only as it is read.
    expect(client.frames.filter(({ type, stream }) => type === frameTypes.windowUpdate && stream === 1)).toEqual([]);
    held.own('service');
    client.send(frame(frameTypes.data, flagOf.endStream, 1, Buffer.from('end')));
    await client.seen(frameTypes.data, 1);
    expect(service.received[0]!.rawBody).toContain('end');
    expect(service.received[0]!.rawBody.replaceAll(/[^x]/g, '')).toHaveLength(48_000);
  });
});

describe('the port', () => {
  test('speaks HTTP/1.1 to whoever asks for that, and says how many requests came by which', async () => {
    serve = (_req, res) => void res.end('ok');
    const asking = https.get({ port: proxy.port, host: '127.0.0.1', rejectUnauthorized: false, agent: false });
    const [answer] = (await once(asking, 'response')) as [IncomingMessage];
    expect([answer.httpVersion, answer.statusCode]).toEqual(['1.1', 200]);
    answer.resume();
    await askHttp2(await session(), { ':path': '/' });
    const metrics = await registry.metrics();
    expect(metrics).toMatch(/http_server_requests_total\{server="http",protocol="http\/1"\} 1\n/);
    expect(metrics).toMatch(/http_server_requests_total\{server="http",protocol="h2"\} \d+\n/);
    expect(metrics).toMatch(/http2_connections_open\{server="http"\} [1-9]/);
  });

  test('answers 503 beyond the requests that may be under way, and lets no connection have more than its share', async () => {
    const waiting: ServerResponse[] = [];
    serve = (_req, res) => void waiting.push(res);
    const origin = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    const small = await startHttp2Proxy(tls, { monolith: [origin], maxRequestsInFlight: 3, http2: { maxStreams: 2 } });
    open.unshift(small);
    const greedy = await rawClient(small.port);
    await greedy.seen(frameTypes.settings, 0);
    greedy.send(Buffer.concat([1, 3, 5].map((stream) => getFrame(stream))));
    expect((await greedy.seen(frameTypes.reset, 5)).payload.readUInt32BE()).toBe(codes.refused);
    await eventually(() => waiting.length === 2);
    const other = await session(small.port);
    const third = askHttp2(other, { ':path': '/' });
    await eventually(() => waiting.length === 3);
    expect((await askHttp2(other, { ':path': '/' })).status).toBe(503);
    for (const res of waiting) res.end('ok');
    expect((await third).status).toBe(200);
  });

  test('draining says so, takes what was on its way, finishes what is under way, and then closes', async () => {
    const waiting: ServerResponse[] = [];
    serve = (_req, res) => void waiting.push(res);
    const origin = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    const leaving = await startHttp2Proxy(tls, { monolith: [origin] });
    const client = await rawClient(leaving.port);
    const idle = await rawClient(leaving.port);
    client.send(getFrame(1));
    await eventually(() => waiting.length === 1);
    const drained = leaving.close(15_000);
    await Promise.all([client.seen(frameTypes.goaway, 0), idle.seen(frameTypes.goaway, 0)]);
    expect(client.goneWith()).toBe(codes.none);
    await eventually(() => idle.closed());
    expect(client.closed()).toBe(false);
    waiting[0]!.end('done');
    expect((await client.seen(frameTypes.data, 1)).payload.toString()).toBe('done');
    await drained;
    await eventually(() => client.closed());
  });
});
