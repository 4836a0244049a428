import { PassThrough, Readable, Transform } from 'node:stream';
import { afterEach, describe, expect, test } from '@jest/globals';
import { pause } from '@strangler/platform/backoff.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { rawHttp } from '@strangler/platform/testing/sockets.ts';
import { countedMetrics, gatewayOf } from '../testing/gateway-of.ts';
import { type AnswerRaw, ok, type RawUpstream, startRawUpstream } from '../testing/raw-upstream.ts';
import { type InProcessProxy, startTransparentProxy } from '../testing/start-transparent-proxy.ts';
import { type Policy, pass, type Refuse } from './policy.ts';

const get = 'GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n';
const refusal: Refuse = { kind: 'refuse', status: 403, title: 'No', detail: 'No.', headers: { 'X-Why': 'test' } };

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
const upstreamThat = async (answer: AnswerRaw): Promise<RawUpstream> => {
  const upstream = await startRawUpstream(answer);
  open.unshift(upstream);
  return upstream;
};
const start = async (
  policies: readonly Policy[],
  answer: AnswerRaw = (_request, socket) => void socket.write(ok('upstream')),
) => {
  const upstream = await upstreamThat(answer);
  const metrics = countedMetrics();
  const proxy: InProcessProxy = await startTransparentProxy({
    monolith: [upstream.origin],
    gateway: gatewayOf(policies, metrics),
  });
  open.unshift(proxy);
  return { proxy, upstream, metrics, ask: (bytes = get) => rawHttp({ port: proxy.port, bytes }) };
};

const upperCase = () =>
  new Transform({ transform: (chunk: Buffer, _encoding, done) => done(null, chunk.toString('latin1').toUpperCase()) });
const withoutLength = (rawHeaders: readonly string[]) =>
  rawHeaders.filter((_item, at) => rawHeaders[at - (at % 2)]!.toLowerCase() !== 'content-length');

describe('a request on its way past policies', () => {
  test('is refused by the first that refuses it, late or at once, and the upstream hears nothing of it', async () => {
    const asked: string[] = [];
    const policies: Policy[] = [
      { name: 'marks', check: () => ({ kind: 'pass', addToAnswer: ['X-Mark', '1'] }) },
      {
        name: 'waits',
        async check() {
          await pause(5);
          asked.push('waits');
          return refusal;
        },
      },
      { name: 'never', check: () => (asked.push('never') ? pass : refusal) },
      { name: 'dresses', answering: (_request, { status, rawHeaders }) => [...rawHeaders, 'X-Saw', `${status}`] },
    ];
    const { ask, upstream, proxy, metrics } = await start(policies);
    const { head } = await ask();
    expect(head?.status).toBe(403);
    expect([head?.headers['x-why'], head?.headers['x-saw'], head?.headers['x-mark']]).toEqual([
      ['test'],
      ['403'],
      ['1'],
    ]);
    expect(head?.headers['content-type']).toEqual(['application/problem+json; charset=utf-8']);
    expect(asked).toEqual(['waits']);
    expect(upstream.received).toEqual([]);
    expect(proxy.finished[0]?.outcome).toEqual({ kind: 'gateway', policy: 'waits', status: 403 });
    expect(metrics.events).toEqual(['refused waits * /* 403']);
    expect(proxy.inFlight()).toBe(0);
  });

  test('goes on with what they found: less for the upstream to see, more on the answer, and an end that is told once', async () => {
    let overs = 0;
    const seen: unknown[] = [];
    const { ask, upstream } = await start([
      {
        name: 'one',
        check: () => ({
          kind: 'pass',
          identity: { user: '7', claims: { sub: '7' } },
          addToAnswer: ['X-Mark', '1'],
          withhold: ['x-key'],
          over() {
            overs += 1;
          },
        }),
      },
      {
        name: 'two',
        check: ({ identity, facts }) => (seen.push(identity.user, facts.verifiedClaims) ? pass : refusal),
      },
    ]);
    const { head, body } = await ask('GET /a HTTP/1.1\r\nHost: shop.test\r\nX-Key: secret\r\n\r\n');
    expect([head?.status, body, head?.headers['x-mark']]).toEqual([200, 'upstream', ['1']]);
    expect(upstream.received[0]?.all('x-key')).toEqual([]);
    expect(seen).toEqual(['7', { sub: '7' }]);
    await eventually(() => overs === 1);
  });

  test('that a client has given up while a policy made up its mind is forwarded to nobody', async () => {
    const late = Promise.withResolvers<void>();
    const { proxy, upstream } = await start([{ name: 'late', check: () => late.promise.then(() => pass) }]);
    const asking = rawHttp({ port: proxy.port, bytes: get, timeoutMs: 200 });
    await eventually(() => proxy.inFlight() === 1);
    expect((await asking).ended).toBe('timeout');
    // The end of the connection has to reach the proxy.
    await pause(100);
    late.resolve();
    await eventually(() => proxy.inFlight() === 0);
    expect(upstream.received).toEqual([]);
    expect(proxy.finished[0]?.outcome.kind).toBe('client-aborted');
  });

  test('has its WebSocket refused like any other request', async () => {
    const { ask, upstream } = await start([{ name: 'never', check: () => refusal }]);
    const { head } = await ask(
      'GET /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n',
    );
    expect([head?.status, head?.headers['x-why']]).toEqual([403, ['test']]);
    expect(upstream.received).toEqual([]);
  });
});

describe('an interceptor', () => {
  test('answers in place of the upstream, through the filters of those before it and the headers of all', async () => {
    const { ask, upstream, proxy, metrics } = await start([
      {
        name: 'loud',
        intercept: () => ({
          kind: 'forward',
          filter: ({ rawHeaders }) => ({
            rawHeaders: [...withoutLength(rawHeaders), 'X-Loud', '1'],
            through: [upperCase()],
          }),
        }),
      },
      {
        name: 'store',
        intercept: async ({ decision }) => ({
          kind: 'answer',
          head: { status: 200, rawHeaders: ['X-Side', decision.side] },
          body: Readable.from([Buffer.from('from '), Buffer.from('store')]),
        }),
      },
      { name: 'dresses', answering: (_request, { rawHeaders }) => [...rawHeaders, 'X-Saw', rawHeaders.join(' ')] },
    ]);
    const { head, body } = await ask();
    expect(head?.headers['x-saw']).toEqual(['X-Side monolith X-Loud 1']);
    expect(body).toContain('FROM ');
    expect(body).toContain('STORE');
    expect(upstream.received).toEqual([]);
    expect(proxy.finished[0]?.outcome).toEqual({ kind: 'gateway', policy: 'store', status: 200 });
    expect(metrics.events).toEqual(['answered store * /*']);
    const bytes = 'HEAD /a HTTP/1.1\r\nHost: shop.test\r\n\r\n';
    const headed = await rawHttp({ port: proxy.port, bytes, isHead: true });
    expect([headed.head?.status, headed.body]).toEqual([200, '']);
  });

  test('sees what the upstream answers, and its filter changes the body as it streams', async () => {
    const copied: string[] = [];
    const copy = () => new PassThrough().on('data', (chunk: Buffer) => void copied.push(chunk.toString()));
    const { ask } = await start(
      [
        {
          name: 'loud',
          intercept: () => ({
            kind: 'forward',
            filter: ({ rawHeaders }) => ({ rawHeaders: withoutLength(rawHeaders), through: [upperCase()] }),
          }),
        },
        {
          name: 'store',
          intercept: () => ({ kind: 'forward', filter: ({ rawHeaders }) => ({ rawHeaders, through: [copy()] }) }),
        },
      ],
      (_request, socket) => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nupst');
        setTimeout(() => socket.write('ream'), 20);
      },
    );
    const { head, body } = await ask();
    expect(head?.headers['transfer-encoding']).toEqual(['chunked']);
    expect(body.replaceAll(/\r\n|\d/g, '')).toBe('UPSTREAM');
    expect(copied.join('')).toBe('upstream');
  });

  test('learns that an answer broke off: what it goes through is destroyed, and the client sees a broken connection', async () => {
    const copy = new PassThrough();
    const { ask, proxy } = await start(
      [
        {
          name: 'store',
          intercept: () => ({ kind: 'forward', filter: ({ rawHeaders }) => ({ rawHeaders, through: [copy] }) }),
        },
      ],
      (_request, socket) => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nupst');
        setTimeout(() => socket.resetAndDestroy(), 20);
      },
    );
    const { ended } = await ask();
    expect(['closed', 'reset']).toContain(ended);
    await eventually(() => copy.destroyed);
    expect(copy.writableEnded).toBe(false);
    expect(proxy.finished[0]?.outcome.kind).toBe('broken');
  });
});
