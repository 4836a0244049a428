import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { Registry } from 'prom-client';
import {
  connectRaw,
  flagOf,
  frame,
  frameTypes,
  getFrame,
  type RawHttp2,
  requestHead,
  resetFrame,
  settingsFrame,
} from '../testing/raw-http2.ts';
import { makeTestCertificate, startHttp2Proxy } from '../testing/start-http2-proxy.ts';
import type { InProcessProxy } from '../testing/start-transparent-proxy.ts';

let upstream: http.Server;
let serve: (req: IncomingMessage, res: ServerResponse) => void;
let asked = 0;
let proxy: InProcessProxy;
const registry = new Registry();
const open: RawHttp2[] = [];

beforeAll(async () => {
  upstream = http
    .createServer((req, res) => {
      asked += 1;
      serve(req, res);
    })
    .listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  proxy = await startHttp2Proxy(await makeTestCertificate(), {
    monolith: [`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`],
    http2: { maxStreams: 50, maxResets: 40, maxPingsPerSecond: 20, stalledAnswerMs: 400 },
    clientIdleTimeoutMs: 400,
    headersTimeoutMs: 500,
    keepAliveTimeoutMs: 1_500,
    requestTimeoutMs: 1_000,
    metrics: registry,
  });
});
afterEach(() => {
  for (const client of open.splice(0)) client.close();
});
afterAll(async () => {
  await proxy.close();
  upstream.closeAllConnections();
  upstream.close();
});

const connect = async (settings?: Buffer): Promise<RawHttp2> => {
  const client = await connectRaw(proxy.port, settings);
  open.push(client);
  return client;
};
const count = async (name: string, labels = ''): Promise<number> =>
  Number(new RegExp(`^${name}\\{server="http"${labels}\\} (\\d+)`, 'm').exec(await registry.metrics())?.[1] ?? 0);
const isServing = async (): Promise<void> => {
  serve = (_req, res) => void res.end('ok');
  const client = await connect();
  client.send(getFrame(1));
  expect((await client.seen(frameTypes.data, 1)).payload.toString()).toBe('ok');
};

describe('a client in HTTP/2 that means ill', () => {
  test('and takes back what it asks for, again and again, is sent away, with little asked of the upstream', async () => {
    serve = () => {};
    asked = 0;
    const client = await connect();
    for (let stream = 1; stream < 4_000; stream += 2) {
      client.send(Buffer.concat([getFrame(stream), resetFrame(stream)]));
      // All in one packet, the protocol's library would end it before anybody counts.
      await new Promise(setImmediate);
    }
    await eventually(() => client.closed());
    expect(await count('http2_connections_ended_total', ',why="resets"')).toBe(1);
    expect(asked).toBeLessThan(100);
    await eventually(() => proxy.inFlight() === 0);
    await isServing();
  });

  test('and makes the proxy take back what it asks for is sent away as well', async () => {
    serve = (_req, res) => void res.end('ok');
    const client = await connect();
    const zeroWindow = Buffer.alloc(4);
    for (let stream = 1; stream < 1_000; stream += 2) {
      // A window that grows by nothing is an error of the stream.
      client.send(Buffer.concat([getFrame(stream), frame(frameTypes.windowUpdate, 0, stream, zeroWindow)]));
    }
    await eventually(() => client.closed());
    await eventually(() => proxy.inFlight() === 0);
    await isServing();
  });

  test.each([
    ['pings', () => frame(frameTypes.ping, 0, 0, Buffer.alloc(8))],
    ['settings', () => settingsFrame()],
  ])('and floods with %s is sent away', async (why, one) => {
    const client = await connect();
    for (let at = 0; at < 500; at += 1) client.send(one());
    await eventually(() => client.closed());
    expect(await count('http2_connections_ended_total', `,why="${why}"`)).toBe(1);
    await isServing();
  });

  test('and never ends a head is cut off before it has taken memory', async () => {
    const client = await connect();
    client.send(frame(frameTypes.headers, 0, 1, requestHead()));
    for (let at = 0; at < 2_000; at += 1) client.send(frame(frameTypes.continuation, 0, 1, Buffer.alloc(16_000)));
    await eventually(() => client.closed());
    await isServing();
  });

  test('and says nothing, or stops in the middle of a head, loses its connection', async () => {
    const [silent, halfway] = await Promise.all([connect(Buffer.alloc(0)), connect()]);
    halfway.send(frame(frameTypes.headers, 0, 1, requestHead().subarray(0, 20)));
    await eventually(() => silent.closed() && halfway.closed());
    expect(await count('http2_connections_ended_total', ',why="silent"')).toBe(1);
  });

  test('and lets no answer come, small or large, loses the answer', async () => {
    serve = (req, res) => void res.end(Buffer.alloc(req.url === '/small' ? 1_000 : 8 * 1024 ** 2));
    // An initial window of nothing.
    const client = await connect(settingsFrame([[4, 0]]));
    client.send(Buffer.concat([getFrame(1, [], { path: '/small' }), getFrame(3, [], { path: '/large' })]));
    await Promise.all([client.seen(frameTypes.reset, 1), client.seen(frameTypes.reset, 3)]);
    await eventually(() => proxy.inFlight() === 0);
    expect(await count('http2_stalled_total')).toBeGreaterThan(0);
  });

  test('and never ends its body loses the request', async () => {
    serve = (req) => void req.resume();
    const client = await connect();
    client.send(frame(frameTypes.headers, flagOf.endHeaders, 1, requestHead([], { method: 'POST' })));
    // An answer or a reset: whichever bound is met first.
    await eventually(() => client.frames.some(({ stream, type }) => stream === 1 && type !== frameTypes.windowUpdate));
    await eventually(() => proxy.inFlight() === 0);
  });
});
