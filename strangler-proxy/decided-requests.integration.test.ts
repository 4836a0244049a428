import net from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { freePort, rawHttp } from '@strangler/platform/testing/sockets.ts';
import type { Decision } from './decide/decision.ts';
import { type AnswerRaw, ok, type RawUpstream, startRawUpstream } from './testing/raw-upstream.ts';
import {
  type InProcessProxy,
  type InProcessWishes,
  monolithDecision,
  startTransparentProxy,
} from './testing/start-transparent-proxy.ts';

const host = 'Host: shop.test\r\n';
const get = `GET /api/products HTTP/1.1\r\n${host}\r\n`;
const post = `POST /api/products HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello`;
const upgrade = `GET /ws HTTP/1.1\r\n${host}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n`;
const toService: Decision = {
  ...monolithDecision,
  side: 'service',
  reason: 'percentage',
  slice: 'catalog',
  service: 'catalog',
  route: '/api/products',
  monolithMayServe: true,
};

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
async function upstreamThat(answer: AnswerRaw): Promise<RawUpstream> {
  const upstream = await startRawUpstream(answer);
  open.unshift(upstream);
  return upstream;
}
async function proxyWith(wishes: InProcessWishes): Promise<InProcessProxy> {
  const proxy = await startTransparentProxy(wishes);
  open.unshift(proxy);
  return proxy;
}
const nobody = async () => `http://127.0.0.1:${await freePort()}`;
const answering = (text: string) => upstreamThat((_request, socket) => void socket.write(ok(text)));
const resetting = () => upstreamThat((_request, socket) => socket.resetAndDestroy());

describe('retries', () => {
  test('a read is tried on two instances of the service, then served by the monolith', async () => {
    const [one, two, monolith] = [await resetting(), await resetting(), await answering('monolith')];
    const proxy = await proxyWith({
      monolith: [monolith.origin],
      service: [one.origin, two.origin],
      decide: () => toService,
    });
    const answer = await rawHttp({ port: proxy.port, bytes: get });
    expect(answer.body).toBe('monolith');
    expect([one.received.length, two.received.length, monolith.received.length]).toEqual([1, 1, 1]);
    expect(monolith.received[0]?.requestLine).toBe(one.received[0]?.requestLine);
    expect(monolith.received[0]?.headers).toEqual(one.received[0]?.headers);
    const [finished] = proxy.finished;
    expect(finished?.attempts.map(({ result }) => result.kind)).toEqual(['failed', 'failed', 'answered']);
    expect(finished?.outcome).toEqual({ kind: 'answered', status: 200 });
  });

  test('a read is not served by the monolith when its data is not kept in step', async () => {
    const monolith = await answering('monolith');
    const decide = () => ({ ...toService, monolithMayServe: false });
    const proxy = await proxyWith({ monolith: [monolith.origin], service: [await nobody()], decide });
    expect((await rawHttp({ port: proxy.port, bytes: get })).head?.status).toBe(502);
    expect(monolith.received).toEqual([]);
  });

  test('a read of a service without instances is served by the monolith, or is a 503', async () => {
    const monolith = await answering('monolith');
    const proxy = await proxyWith({ monolith: [monolith.origin], decide: () => toService });
    expect((await rawHttp({ port: proxy.port, bytes: get })).body).toBe('monolith');
    const alone = await proxyWith({ monolith: [], decide: () => toService });
    const answer = await rawHttp({ port: alone.port, bytes: get });
    expect(answer.head?.status).toBe(503);
    expect(answer.head?.headers['retry-after']).toEqual(['1']);
    expect(alone.finished[0]?.outcome).toEqual({ kind: 'no-instance', why: 'no-instances', status: 503 });
  });

  test('an instance whose check fails is asked only what nobody else can answer', async () => {
    const [monolith, late] = [await answering('monolith'), await answering('late')];
    const ask = async (decision: Decision, bytes: string): Promise<string> => {
      const wishes = { monolith: [monolith.origin], critical: [late.origin], decide: () => decision };
      return (await rawHttp({ port: (await proxyWith(wishes)).port, bytes })).body;
    };
    expect(await ask(toService, get)).toBe('monolith');
    expect(await ask({ ...toService, monolithMayServe: false }, get)).toBe('late');
    expect(await ask({ ...toService, access: 'write', reason: 'write-owner', epoch: 7 }, post)).toBe('late');
  });

  test('a write is never sent to the other side, and sent twice only where it cannot have been received', async () => {
    const [monolith, two] = [await answering('monolith'), await answering('two')];
    const decide = (): Decision => ({ ...toService, access: 'write', reason: 'write-owner', epoch: 7 });
    const proxy = await proxyWith({ monolith: [monolith.origin], service: [await nobody(), two.origin], decide });
    expect((await rawHttp({ port: proxy.port, bytes: post })).body).toBe('two');
    expect(two.received[0]?.rawBody).toBe('hello');
    expect(two.received[0]?.all('x-strangler-epoch')).toEqual(['7']);
    expect(proxy.outcomes.map(({ outcome }) => outcome.kind)).toEqual(['failed', 'answered']);

    const one = await resetting();
    const other = await proxyWith({ monolith: [monolith.origin], service: [one.origin, two.origin], decide });
    expect((await rawHttp({ port: other.port, bytes: post })).head?.status).toBe(502);
    expect([one.received.length, two.received.length, monolith.received.length]).toEqual([1, 1, 0]);
  });

  test('a read with a body is not repeated once the body has been sent', async () => {
    const [one, two] = [await resetting(), await answering('two')];
    const proxy = await proxyWith({
      monolith: [],
      service: [one.origin, two.origin],
      decide: () => ({ ...toService, monolithMayServe: false }),
    });
    expect((await rawHttp({ port: proxy.port, bytes: post })).head?.status).toBe(502);
    expect(two.received).toEqual([]);
  });

  test('an answer of the service, 500 and 503 too, is passed on and not asked for again', async () => {
    for (const status of [500, 502, 503]) {
      const [service, monolith] = [
        await upstreamThat(
          (_request, socket) => void socket.write(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`),
        ),
        await answering('monolith'),
      ];
      const proxy = await proxyWith({
        monolith: [monolith.origin],
        service: [service.origin],
        decide: () => toService,
      });
      expect((await rawHttp({ port: proxy.port, bytes: get })).head?.status).toBe(status);
      expect(monolith.received).toEqual([]);
    }
  });

  test('a reset on a reused connection is not held against the instance', async () => {
    let die = false;
    const upstream = await upstreamThat((_request, socket) => {
      if (die) socket.resetAndDestroy();
      else socket.write(ok());
      die = false;
    });
    const proxy = await proxyWith({ monolith: [upstream.origin] });
    await rawHttp({ port: proxy.port, bytes: get });
    die = true;
    await rawHttp({ port: proxy.port, bytes: get });
    expect(proxy.outcomes.map(({ outcome }) => outcome.kind)).toEqual(['answered', 'client-aborted', 'answered']);
  });

  test('a handshake is tried on the next instance when the first refuses the connection', async () => {
    const two = await upstreamThat((_request, socket) =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi'),
    );
    const proxy = await proxyWith({ monolith: [await nobody(), two.origin] });
    const answer = await rawHttp({ port: proxy.port, bytes: [upgrade, { waitFor: 'hi' }] });
    expect(answer.head?.status).toBe(101);
  });
});

describe('what the client is told', () => {
  test('side, reason and instance are disclosed only to who may see them, the sticky cookie is added to the answer’s own', async () => {
    const service = await upstreamThat((_request, socket) =>
      socket.write('HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Strangler-Side: lie\r\nContent-Length: 0\r\n\r\n'),
    );
    let disclose = true;
    const decide = (): Decision => ({ ...toService, disclose, setCookie: 'strangler=x; Path=/' });
    const proxy = await proxyWith({ monolith: [], service: [service.origin], decide });
    const shown = await rawHttp({ port: proxy.port, bytes: get });
    expect(shown.head?.headers).toMatchObject({
      'set-cookie': ['a=1', 'strangler=x; Path=/'],
      'x-strangler-side': ['service'],
      'x-strangler-reason': ['percentage'],
      'x-strangler-instance': [service.origin],
    });
    disclose = false;
    const hidden = await rawHttp({ port: proxy.port, bytes: get });
    expect(Object.keys(hidden.head?.headers ?? {}).filter((name) => name.startsWith('x-strangler'))).toEqual([]);
  });

  test('the side that served a request in the end is the one disclosed', async () => {
    const monolith = await answering('monolith');
    const proxy = await proxyWith({
      monolith: [monolith.origin],
      service: [await nobody()],
      decide: () => ({ ...toService, disclose: true }),
    });
    const answer = await rawHttp({ port: proxy.port, bytes: get });
    expect(answer.head?.headers['x-strangler-side']).toEqual(['monolith']);
  });
});

describe('facts', () => {
  test('the decision sees the request without what a client must not say, and the operator’s wish beside the right token', async () => {
    const upstream = await answering('ok');
    const seen: unknown[] = [];
    const proxy = await proxyWith({
      monolith: [upstream.origin],
      operatorToken: 's3cret',
      decide: (facts) => {
        seen.push({ ...facts, headers: Object.keys(facts.headers) });
        return monolithDecision;
      },
    });
    const headers = 'Cookie: a=1\r\nX-Strangler-Force-Side: service\r\nX-Forwarded-For: 1.2.3.4\r\n';
    await rawHttp({ port: proxy.port, bytes: `DELETE /a%20b?c=d HTTP/1.1\r\n${host}${headers}\r\n` });
    await rawHttp({
      port: proxy.port,
      bytes: `GET /x HTTP/1.1\r\n${host}${headers}X-Strangler-Operator: s3cret\r\n\r\n`,
    });
    expect(seen).toEqual([
      {
        method: 'DELETE',
        path: '/a%20b',
        headers: ['host', 'cookie'],
        clientAddress: '127.0.0.1',
        operator: false,
        forcedSide: null,
        verifiedClaims: null,
      },
      {
        method: 'GET',
        path: '/x',
        headers: ['host', 'cookie'],
        clientAddress: '127.0.0.1',
        operator: true,
        forcedSide: 'service',
        verifiedClaims: null,
      },
    ]);
    // What httpxy adds to the headers that it is given must not turn up in the facts.
    expect(Object.keys(proxy.finished[0]?.facts?.headers ?? {})).toEqual(['host', 'cookie']);
    expect(upstream.received.flatMap(({ headers: sent }) => sent.map(([name]) => name.toLowerCase()))).not.toContain(
      'x-strangler-operator',
    );
  });
});

describe('upgrades', () => {
  test('an upgrade goes where the decision says, and nowhere else', async () => {
    const upgraded = (text: string) =>
      upstreamThat((_request, socket) =>
        socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${text}!`),
      );
    const [service, monolith] = [await upgraded('service'), await upgraded('monolith')];
    const decide = ({ path }: { path: string }) => (path === '/ws' ? toService : monolithDecision);
    const proxy = await proxyWith({ monolith: [monolith.origin], service: [service.origin], decide });
    const one = await rawHttp({ port: proxy.port, bytes: [upgrade, { waitFor: '!' }], until: { idleMs: 100 } });
    expect(one.text).toContain('service!');
    const other = await rawHttp({
      port: proxy.port,
      bytes: [upgrade.replace('/ws', '/other'), { waitFor: '!' }],
      until: { idleMs: 100 },
    });
    expect(other.text).toContain('monolith!');
    expect([service.received.length, monolith.received.length]).toEqual([1, 1]);
  });
});

describe('limits and accounting', () => {
  test('a defect in deciding is a 500 for that request and nothing for the others', async () => {
    const upstream = await answering('ok');
    const proxy = await proxyWith({
      monolith: [upstream.origin],
      decide: ({ path }) => {
        if (path === '/defect') throw new TypeError('undefined is not a slice');
        return monolithDecision;
      },
    });
    const failed = await rawHttp({ port: proxy.port, bytes: `GET /defect HTTP/1.1\r\n${host}\r\n` });
    expect(failed.head?.status).toBe(500);
    expect(failed.text).not.toContain('slice');
    expect((await rawHttp({ port: proxy.port, bytes: get })).head?.status).toBe(200);
    expect(proxy.finished[0]?.outcome).toMatchObject({
      kind: 'defect',
      message: expect.stringContaining('is not a slice'),
    });
    expect(proxy.inFlight()).toBe(0);
  });

  test('a request that is under way when the proxy drains is answered, and told that its connection closes', async () => {
    let answerNow = () => {};
    const upstream = await upstreamThat((_request, socket) => {
      answerNow = () =>
        void socket.write('HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok');
    });
    const proxy = await startTransparentProxy({ monolith: [upstream.origin] });
    const answered = rawHttp({ port: proxy.port, bytes: get, until: 'close' });
    await eventually(() => upstream.received.length === 1);
    const drained = proxy.close(5_000);
    answerNow();
    const answer = await answered;
    await drained;
    expect(answer.head?.status).toBe(200);
    expect(answer.head?.headers).toEqual({
      connection: ['close'],
      'set-cookie': ['a=1', 'b=2'],
      'content-length': ['2'],
    });
    expect(answer.body).toBe('ok');
  });

  test('requests beyond the limit in flight are 503 with Retry-After, and the others are not disturbed', async () => {
    const waiting: (() => void)[] = [];
    const upstream = await upstreamThat((_request, socket) => void waiting.push(() => socket.write(ok())));
    const proxy = await proxyWith({ monolith: [upstream.origin], maxRequestsInFlight: 2 });
    const first = [rawHttp({ port: proxy.port, bytes: get }), rawHttp({ port: proxy.port, bytes: get })];
    await eventually(() => waiting.length === 2);
    expect(proxy.inFlight()).toBe(2);
    const third = await rawHttp({ port: proxy.port, bytes: get });
    expect(third.head?.status).toBe(503);
    expect(third.head?.headers['retry-after']).toEqual(['1']);
    for (const answer of waiting) answer();
    expect((await Promise.all(first)).map(({ head }) => head?.status)).toEqual([200, 200]);
    await eventually(() => proxy.inFlight() === 0);
    expect(proxy.finished.map(({ outcome }) => outcome.kind).sort()).toEqual(['answered', 'answered', 'refused']);
  });

  test('every request is accounted for once, with how it ended', async () => {
    const upstream = await upstreamThat((request, socket) => {
      if (request.requestLine.includes('/ok')) socket.write(ok());
      if (request.requestLine.includes('/reset')) socket.resetAndDestroy();
      if (request.requestLine.includes('/broken')) {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc');
        setTimeout(() => socket.destroy(), 30);
      }
    });
    const proxy = await proxyWith({ monolith: [upstream.origin] });
    const ask = (path: string) =>
      rawHttp({ port: proxy.port, bytes: `POST ${path} HTTP/1.1\r\n${host}\r\n`, until: { idleMs: 200 } });
    await ask('/ok');
    await ask('/reset');
    await ask('/broken');
    await ask('bad');
    const client = net.connect(proxy.port, '127.0.0.1');
    client.write(`POST /wait HTTP/1.1\r\n${host}\r\n`);
    await eventually(() => upstream.received.some(({ requestLine }) => requestLine.includes('/wait')));
    client.destroy();
    await eventually(() => proxy.inFlight() === 0);
    expect(proxy.finished.map(({ outcome }) => outcome)).toEqual([
      { kind: 'answered', status: 200 },
      { kind: 'failed', error: 'upstream-reset', status: 502 },
      { kind: 'broken', error: 'upstream-body-broken', status: 200 },
      { kind: 'client-aborted', error: 'client-aborted-response' },
    ]);
    for (const { durationMs, requestId } of proxy.finished) {
      expect(durationMs).toBeGreaterThan(0);
      expect(requestId).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  test('many aborted and failed requests leave nothing behind: no request in flight, no connection, no lease', async () => {
    const upstream = await upstreamThat((request, socket) => {
      if (request.requestLine.includes('/ok')) socket.write(ok());
    });
    const proxy = await proxyWith({ monolith: [upstream.origin] });
    const clients = Array.from({ length: 60 }, (_, i) => {
      const client = net.connect(proxy.port, '127.0.0.1');
      client.on('error', () => {});
      client.write(
        `PUT /${i % 3 === 0 ? 'ok' : 'wait'} HTTP/1.1\r\n${host}Content-Length: ${i % 2 === 0 ? 3 : 900}\r\n\r\nabc`,
      );
      return client;
    });
    await eventually(() => proxy.inFlight() >= 40 && upstream.received.length >= 20);
    for (const client of clients) client.destroy();
    await eventually(() => proxy.inFlight() === 0);
    expect(proxy.finished.length).toBe(60);
    expect(proxy.outcomes.length).toBe(proxy.finished.flatMap(({ attempts }) => attempts).length);
    await eventually(() => upstream.openConnections() <= 20);
  });

  test('upgraded connections are counted, limited, and ended on both sides on demand', async () => {
    const upstream = await upstreamThat((_request, socket) =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi'),
    );
    const proxy = await proxyWith({ monolith: [upstream.origin], maxTunnels: 1 });
    const first = rawHttp({ port: proxy.port, bytes: [upgrade, { waitFor: 'hi' }], until: 'close' });
    await eventually(() => upstream.openConnections() === 1);
    const second = await rawHttp({ port: proxy.port, bytes: upgrade, until: 'close' });
    expect(second.head?.status).toBe(503);
    expect(proxy.openTunnels()).toBe(1);
    proxy.endTunnels(100);
    expect((await first).ended).toBe('closed');
    await eventually(() => proxy.openTunnels() === 0 && upstream.openConnections() === 0);
    expect(proxy.finished.map(({ outcome, protocol }) => [protocol, outcome.kind])).toEqual([
      ['websocket', 'refused'],
      ['websocket', 'answered'],
    ]);
  });
});
