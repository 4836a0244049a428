import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { appliedExchange } from '@strangler/platform/contracts/applied-message.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { createFileFlagStore } from '@strangler/platform/flags/file-store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { publishConfirmed } from '@strangler/platform/outbox/channel.ts';
import { deleteConsumer } from '@strangler/platform/outbox/declare.ts';
import { connect, type RabbitConnection } from '@strangler/platform/rabbit.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { type ProxyProgram, startProxyProgram } from '../../testing/proxy-program.ts';

const log = createLog({ name: 'test', level: 'silent' });

type Answering = (req: IncomingMessage, res: ServerResponse, count: number) => void;

/** A server whose answers a test chooses by path; `counts` tells how often each was asked. */
const startSide = async (name: string) => {
  const answers = new Map<string, Answering>();
  const counts = new Map<string, number>();
  const server: Server = createServer((req, res) => {
    const path = req.url!.split('?')[0]!;
    const count = (counts.get(path) ?? 0) + 1;
    counts.set(path, count);
    req.resume();
    const answer = answers.get(path);
    if (answer !== undefined) answer(req, res, count);
    else res.setHeader('Cache-Control', 'max-age=60').end(`${name} ${count}`);
  }).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers,
    counts,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
};

describe('the response cache of the proxy', () => {
  let folder: string;
  let monolith: Awaited<ReturnType<typeof startSide>>;
  let catalog: Awaited<ReturnType<typeof startSide>>;
  let redis: TcpProxy;
  let program: ProxyProgram;
  let rabbit: RabbitConnection;
  const exchange = `cache-test-${crypto.randomUUID().slice(0, 8)}`;
  const queue = `${exchange}.proxy`;
  const flags = () => createFileFlagStore(join(folder, 'flags.json'));

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cache-'));
    await mkdir(join(folder, 'slices/catalog'), { recursive: true });
    await writeFile(
      join(folder, 'slices/catalog/slice.yaml'),
      'slice: catalog\nservice: catalog\nroutes: [ GET /split/:id, POST /split/:id ]\n',
    );
    await writeFile(
      join(folder, 'gateway.yaml'),
      `policies:
  kept: { kind: cache, changes: [ shop.products ], wait: 60s }
  timed: { kind: cache, fresh: 1s, staleWhileRevalidate: 60s, staleIfError: 60s, maxBody: 1KiB }
  tokens: { kind: cache, authorized: true, cookies: ignore }
routes:
  - { route: "* /kept/*", policies: [ kept ] }
  - { route: "* /split/*", policies: [ kept ] }
  - { route: GET /timed/*, policies: [ timed ] }
  - { route: GET /tokens/*, policies: [ tokens ] }
`,
    );
    [monolith, catalog, redis] = await Promise.all([
      startSide('monolith'),
      startSide('service'),
      startTcpProxy(testServers().redisUrl),
    ]);
    await changeFlag(flags(), 'catalog', (flag) => flag, { by: 'test', reason: '' });
    rabbit = connect({ url: testServers().rabbitmqUrl, log });
    program = await startProxyProgram({
      MONOLITH_URL: monolith.url,
      STRANGLER_SLICES: join(folder, 'slices'),
      STRANGLER_FLAGS: `file://${join(folder, 'flags.json')}`,
      SERVICES: `catalog=${catalog.url}`,
      GATEWAY_FILE: join(folder, 'gateway.yaml'),
      REDIS_URL: redis.url,
      RABBITMQ_URL: testServers().rabbitmqUrl,
      OUTBOX_EXCHANGE: exchange,
      CACHE_QUEUE: queue,
      READ_YOUR_WRITES: '300',
      // A machine that is busy with other tests is no Redis that is away.
      CACHE_TIMEOUT: '400',
    });
    await eventually(async () => expect(await program.metrics()).toMatch(/^strangler_cache_listening\{.*\} 1$/m));
    // A cold process may take longer for its first requests than it waits for Redis.
    await eventually(async () => {
      await ask('/kept/warm');
      await askUntilHit('/kept/warm');
    });
  });
  afterAll(async () => {
    await program?.stop('SIGKILL');
    for (const [from, name] of [
      [exchange, queue],
      [appliedExchange(exchange), `${queue}.applied`],
    ] as const) {
      await deleteConsumer(rabbit, from, { name, patterns: [], order: 'none' });
    }
    await rabbit?.close();
    await redis?.close();
    monolith?.close();
    catalog?.close();
    await rm(folder, { recursive: true });
  });
  beforeEach(() => redis.pass());

  const ask = async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
    const answer = await fetch(`${program.url}${path}`, { method, headers });
    return { status: answer.status, headers: answer.headers, body: await answer.text() };
  };
  const met = ({ headers }: { headers: Headers }): string => headers.get('cache-status') ?? 'none';
  /** Asks until what was answered is kept, for it is stored beside. */
  const askUntilHit = (path: string, headers: Record<string, string> = {}) =>
    eventually(async () => {
      const answer = await ask(path, headers);
      expect(met(answer)).toContain('hit');
      return answer;
    });
  const publish = async (routingKey: string, to = exchange): Promise<void> => {
    const channel = await rabbit.confirmChannel();
    await publishConfirmed(channel, {
      ...{ exchange: to, routingKey, body: Buffer.from('{}'), properties: { messageId: crypto.randomUUID() } },
    });
    await channel.close();
  };

  test('answers the second request itself, tells its age, and 304 to who has it', async () => {
    monolith.answers.set('/kept/a', (_req, res) => {
      res.writeHead(200, { 'Cache-Control': 'max-age=60', ETag: '"a"', 'Content-Type': 'text/plain', 'X-Note': 'x' });
      res.end('body');
    });
    const first = await ask('/kept/a');
    expect(met(first)).toBe('strangler; fwd=uri-miss; fwd-status=200; stored');
    const second = await askUntilHit('/kept/a');
    expect([second.status, second.body, second.headers.get('x-note')]).toEqual([200, 'body', 'x']);
    expect(Number(second.headers.get('age'))).toBeGreaterThanOrEqual(0);
    expect(met(second)).toMatch(/^strangler; hit; ttl=\d+$/);
    const asked = monolith.counts.get('/kept/a')!;
    const head = await ask('/kept/a', {}, 'HEAD');
    expect([head.status, head.headers.get('content-length'), head.body]).toEqual([200, '4', '']);
    // By itself fetch would add no-cache to a condition.
    expect((await ask('/kept/a', { 'if-none-match': '"a"', 'cache-control': 'max-age=99' })).status).toBe(304);
    expect((await ask('/kept/a?other')).status).toBe(200);
    expect((await ask('/kept/never', { 'cache-control': 'only-if-cached' })).status).toBe(504);
    expect(monolith.counts.get('/kept/a')).toBe(asked + 1);
    expect(monolith.counts.get('/kept/never')).toBeUndefined();
    // Nobody was asked, so that no side is credited with it.
    expect(await program.metrics()).toMatch(/strangler_requests_total\{.*side="none".*outcome="gateway-kept".*\} \d/);
  });

  test('asks once for what a hundred want at a time, and keeps variants apart', async () => {
    const held: (() => void)[] = [];
    const answering: Answering = (req, res) => {
      held.push(() => {
        res.writeHead(200, { 'Cache-Control': 'max-age=60', Vary: 'Accept-Language' });
        res.end(`in ${req.headers['accept-language'] ?? 'any'}`);
      });
    };
    // On a machine that is too busy to hear from Redis in time some go on without a cache: then it proves nothing, and is tried again.
    let path = '';
    await eventually(async () => {
      path = `/kept/many-${crypto.randomUUID()}`;
      monolith.answers.set(path, answering);
      const many = Array.from({ length: 100 }, () => ask(path, { 'accept-language': 'de' }));
      await eventually(async () => {
        const waiting = /^strangler_cache_waiting\{.*\} (\d+)$/m.exec(await program.metrics())?.[1];
        expect(held.length + Number(waiting)).toBe(100);
      });
      for (const answer of held.splice(0)) answer();
      const answers = await Promise.all(many);
      expect(new Set(answers.map(({ body }) => body))).toEqual(new Set(['in de']));
      const away = answers.filter((answer) => met(answer).includes('away')).length;
      expect(monolith.counts.get(path)).toBe(1 + away);
      expect(answers.filter((answer) => met(answer).includes('collapsed'))).toHaveLength(99 - away);
      expect(away).toBeLessThan(50);
    });

    const english = ask(path, { 'accept-language': 'en' });
    await eventually(() => held.length === 1);
    held.pop()!();
    expect([(await english).body, met(await english)]).toEqual(['in en', expect.stringContaining('fwd=vary-miss')]);
    expect((await askUntilHit(path, { 'accept-language': 'en' })).body).toBe('in en');
    expect((await askUntilHit(path, { 'accept-language': 'de' })).body).toBe('in de');
  });

  test('asks whether it is still good, and takes what the origin says of it', async () => {
    monolith.answers.set('/kept/valid', (req, res, count) => {
      res.setHeader('Cache-Control', 'max-age=0');
      res.setHeader('ETag', '"v"');
      res.setHeader('X-Count', `${count}`);
      if (req.headers['if-none-match'] === '"v"') res.writeHead(304).end();
      else res.end('valid');
    });
    expect((await ask('/kept/valid')).body).toBe('valid');
    await eventually(async () => {
      const again = await ask('/kept/valid');
      expect(met(again)).toContain('detail=revalidated');
      expect([again.status, again.body]).toEqual([200, 'valid']);
      expect(again.headers.get('x-count')).toBe(`${monolith.counts.get('/kept/valid')}`);
    });
  });

  test('gives what is stale while it asks, and where the origin fails', async () => {
    let fails = false;
    monolith.answers.set('/timed/s', (_req, res, count) => {
      if (fails) res.writeHead(503).end('down');
      else res.end(`take ${count}`);
    });
    expect((await ask('/timed/s')).body).toBe('take 1');
    await eventually(async () => expect(met(await ask('/timed/s'))).toContain('detail=stale'));
    await eventually(async () => expect((await askUntilHit('/timed/s')).body).not.toBe('take 1'));
    fails = true;
    const before = monolith.counts.get('/timed/s')!;
    await eventually(() => {
      void ask('/timed/s');
      return monolith.counts.get('/timed/s')! > before;
    });
    const answer = await ask('/timed/s', { 'cache-control': 'max-age=0' });
    expect([answer.status, answer.body]).toEqual([200, expect.stringMatching(/^take \d+$/)]);
    expect(met(answer)).toMatch(/fwd-status=503|detail=stale/);
    expect((await ask('/timed/s', { 'cache-control': 'no-cache' })).status).toBe(503);
  });

  test('keeps nothing that is for one, too large, a part, or broken off', async () => {
    monolith.answers.set(
      '/kept/cookie',
      (_req, res, count) =>
        void res.writeHead(200, { 'Cache-Control': 'max-age=60', 'Set-Cookie': 'a=b' }).end(`${count}`),
    );
    monolith.answers.set('/timed/large', (_req, res, count) => {
      res.write('x'.repeat(900));
      res.end(`${'y'.repeat(900)}${count}`);
    });
    let cut = true;
    monolith.answers.set('/kept/cut', (req, res) => {
      res.writeHead(200, { 'Cache-Control': 'max-age=60', 'Content-Length': '10' });
      if (!cut) res.end('0123456789');
      else res.write('01234', () => req.socket.destroy());
    });
    expect([(await ask('/kept/cookie')).body, (await ask('/kept/cookie')).body]).toEqual(['1', '2']);
    // For a while nobody looks at it again.
    expect(met(await ask('/kept/cookie'))).toBe('strangler; fwd=uri-miss; detail=lately-not-stored');
    for (const count of [1, 2])
      expect((await ask('/timed/large')).body).toBe(`${'x'.repeat(900)}${'y'.repeat(900)}${count}`);
    await expect(ask('/kept/cut')).rejects.toThrow();
    cut = false;
    expect((await ask('/kept/cut')).body).toBe('0123456789');
    const own: Record<string, string>[] = [
      { cookie: 'session=1' },
      { authorization: 'Bearer x' },
      { range: 'bytes=0-1' },
    ];
    for (const headers of own) {
      const count = monolith.counts.get('/kept/own') ?? 0;
      expect(met(await ask('/kept/own', headers))).toBe('none');
      expect(monolith.counts.get('/kept/own')).toBe(count + 1);
    }
    // What is kept for all is not given to who proved who they are, unless the answer allows it.
    monolith.answers.set(
      '/tokens/public',
      (_req, res) => void res.setHeader('Cache-Control', 'public, max-age=60').end('p'),
    );
    await ask('/tokens/public', { authorization: 'Bearer x' });
    await askUntilHit('/tokens/public', { authorization: 'Bearer y' });
    await ask('/tokens/mine');
    await askUntilHit('/tokens/mine');
    expect(met(await ask('/tokens/mine', { authorization: 'Bearer x' }))).toContain('fwd=');
  });

  test('a write makes what is kept of its URI untrue, and its writer sees nothing older', async () => {
    await ask('/kept/w');
    await ask('/kept/list');
    await askUntilHit('/kept/w');
    await askUntilHit('/kept/list');
    const wrote = await ask('/kept/w', { authorization: 'Bearer someone' }, 'PUT');
    const cookie = wrote.headers
      .getSetCookie()
      .find((one) => one.startsWith('strangler_wrote_at='))!
      .split(';')[0]!;
    const after = await ask('/kept/w');
    expect(met(after)).toContain('fwd=uri-miss');
    expect(met(await ask('/kept/list'))).toContain('hit');
    expect(met(await ask('/kept/list', { cookie }))).toContain('detail=own-write');
    // Once it has been asked for after their write was everywhere, they share it again.
    await eventually(async () => expect(met(await ask('/kept/list', { cookie }))).toContain('hit'));
    // A failed write changes nothing.
    monolith.answers.set('/kept/refused', (req, res) => {
      if (req.method === 'PUT') res.writeHead(409).end();
      else res.setHeader('Cache-Control', 'max-age=60').end('refused');
    });
    await ask('/kept/refused');
    await askUntilHit('/kept/refused');
    expect((await ask('/kept/refused', { authorization: 'Bearer someone' }, 'PUT')).headers.getSetCookie()).toEqual([]);
    expect(met(await ask('/kept/refused'))).toContain('hit');
  });

  test('a change of what it stands on beats any answer that was asked for before, however late it comes', async () => {
    await ask('/kept/event');
    for (const [key, to] of [
      ['shop.products.upsert', exchange],
      ['shop.products', appliedExchange(exchange)],
    ] as const) {
      await askUntilHit('/kept/event');
      await publish('shop.other.upsert').catch(() => {});
      await publish(key, to);
      await eventually(async () => expect(met(await ask('/kept/event'))).toContain('fwd=uri-miss'));
    }

    const held: (() => void)[] = [];
    monolith.answers.set('/kept/slow', (_req, res, count) => {
      held.push(() => void res.setHeader('Cache-Control', 'max-age=60').end(`slow ${count}`));
    });
    const slow = ask('/kept/slow');
    await eventually(() => held.length === 1);
    await askUntilHit('/kept/event');
    await publish('shop.products.delete');
    await eventually(async () => expect(met(await ask('/kept/event'))).toContain('fwd='));
    held.pop()!();
    expect((await slow).body).toBe('slow 1');
    const again = ask('/kept/slow');
    await eventually(() => held.length === 1);
    held.pop()!();
    expect((await again).body).toBe('slow 2');
    expect((await askUntilHit('/kept/slow')).body).toBe('slow 2');
  });

  test('a side never answers with what the other has said', async () => {
    const setReads = (percent: number) =>
      changeFlag(flags(), 'catalog', (flag) => ({ ...flag, reads: { percent, cohorts: [] } }), {
        by: 'test',
        reason: '',
      });
    expect((await ask('/split/1')).body).toBe('monolith 1');
    await askUntilHit('/split/1');
    await setReads(100);
    await eventually(async () => expect((await ask('/split/1')).body).toBe('service 1'));
    expect((await askUntilHit('/split/1')).body).toBe('service 1');
    await setReads(0);
    await eventually(async () => expect((await askUntilHit('/split/1')).body).toBe('monolith 1'));
    // Half of the users on each side: each is answered by theirs, from what is kept of that.
    await setReads(50);
    await eventually(async () =>
      expect((await ask('/split/1')).headers.getSetCookie().join()).toContain('strangler_sid='),
    );
    for (let user = 0; user < 12; user += 1) {
      const cookie = `strangler_sid=user-${user}`;
      const kept = await askUntilHit('/split/1', { cookie });
      const uncached = await ask('/split/1', { cookie, 'cache-control': 'no-store' });
      expect(kept.body.split(' ')[0]).toBe(uncached.body.split(' ')[0]);
    }
    await setReads(0);
  });

  test('without Redis requests go on as if there were no cache, and it is used again when it is back', async () => {
    await ask('/kept/away');
    await askUntilHit('/kept/away');
    for (const fault of ['stall', 'refuse'] as const) {
      await redis[fault]();
      await eventually(async () => expect(met(await ask('/kept/away'))).toContain('detail=away'));
      const beganMs = performance.now();
      for (let turn = 0; turn < 20; turn += 1) expect((await ask('/kept/away')).status).toBe(200);
      // One a second looks whether Redis is back, and waits 400 ms for it; without a circuit all of them would.
      expect(performance.now() - beganMs).toBeLessThan(5_000);
      await redis.pass();
      await askUntilHit('/kept/away');
    }
    expect(await program.metrics()).toMatch(/strangler_cache_requests_total\{.*outcome="away".*\} [1-9]/);
  });
});
