import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { type HoldAck, holdAckSchema, holdKeys } from '@strangler/platform/contracts/hold-ack.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { createFileFlagStore } from '@strangler/platform/flags/file-store.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { type FlaggedProxies, openFlaggedProxies } from '../testing/flagged-proxies.ts';
import type { ProxyProgram } from '../testing/proxy-program.ts';

const id = 'proxy-1';

type Side = { listener: RequestListener; written: string[]; answerSlow(): void; forget(): void };
const sideOf = (name: string): Side => {
  const written: string[] = [];
  const slow: (() => void)[] = [];
  return {
    listener: (req, res) => {
      const answer = () => void res.end(name);
      if (req.method === 'POST') written.push(`${req.headers['x-number']}@${req.headers['x-strangler-epoch']}`);
      req.resume();
      req.on('end', () => (req.headers['x-slow'] === undefined ? answer() : slow.push(answer)));
    },
    written,
    answerSlow: () => slow.splice(0).forEach((answer) => void answer()),
    forget: () => {
      written.length = 0;
      slow.length = 0;
    },
  };
};

describe('a proxy under a hold', () => {
  const monolith = sideOf('monolith');
  const service = sideOf('service');
  let proxies: FlaggedProxies;
  /** Between the proxy and Consul. */
  let line: TcpProxy;
  let latest: ProxyProgram | undefined;

  beforeAll(async () => {
    proxies = await openFlaggedProxies({
      label: 'hold',
      monolith: monolith.listener,
      service: service.listener,
      slices: { catalog: 'slice: catalog\nservice: catalog\nroutes: [ GET /api/products, POST /api/products ]\n' },
      environment: { SERVICE_ID: id, WORKERS: '2', DRAIN_GRACE: '2000' },
    });
    line = await startTcpProxy(testServers().consulUrl);
    proxies.atEnd(() => line.close());
  });
  beforeEach(async () => {
    monolith.forget();
    service.forget();
    const { epoch } = await change({ writes: { owner: 'monolith' } });
    await eventually(async () => {
      if (latest === undefined || hasEnded(latest)) return;
      for (const slice of await writesOf(latest)) expect(slice).toMatchObject({ gate: 'open', epoch, heldNow: 0 });
    });
  });
  afterAll(() => proxies?.end());

  const hasEnded = ({ child }: ProxyProgram) => child.exitCode !== null || child.signalCode !== null;
  /** The proxy of all tests that need nothing else; started anew after a test that has ended it. */
  const running = async (): Promise<ProxyProgram> => {
    if (latest === undefined || hasEnded(latest)) {
      latest = await proxies.start({ STRANGLER_FLAGS: proxies.flagsAt(new URL(line.url).host), HOLD_TIMEOUT: '60s' });
    }
    return latest;
  };
  const change = (edit: Partial<FlagDocument>, to = proxies.store) =>
    changeFlag(
      to,
      'catalog',
      (flag) => ({ ...flag, stage: 'reads', reads: { percent: 100, cohorts: [] }, ...edit, epoch: flag.epoch + 1 }),
      { by: 'test', reason: '' },
    );
  const hold = (to = proxies.store) =>
    change(
      {
        writes: {
          owner: 'held',
          from: 'monolith',
          to: 'service',
          deadline: new Date(Date.now() + 60_000).toISOString(),
        },
      },
      to,
    );
  const write = (program: ProxyProgram, number: number, headers: Record<string, string> = {}) =>
    fetch(`${program.url}/api/products`, {
      method: 'POST',
      body: '{}',
      headers: { 'x-number': `${number}`, ...headers },
    });
  const ackNow = async (of = id): Promise<(HoldAck & { session: string | undefined }) | undefined> => {
    const entry = await proxies.consul.kv.get(holdKeys(proxies.root).ack('catalog', of), { consistent: true });
    return entry && { ...holdAckSchema.parse(JSON.parse(entry.value)), session: entry.session };
  };
  const ackOf = (document: FlagDocument, of = id) =>
    eventually(async () => {
      const ack = await ackNow(of);
      expect(ack).toMatchObject({ epoch: document.epoch, changeId: document.change.id });
      return ack!;
    });
  const liveSession = async () =>
    (await proxies.consul.kv.get(holdKeys(proxies.root).proxy(id), { consistent: true }))?.session;
  const writesOf = async (program: ProxyProgram) => (await program.status()).workers.map(({ writes }) => writes?.[0]);
  const heldNow = async (program: ProxyProgram) =>
    (await writesOf(program)).reduce((sum, slice) => sum + (slice?.heldNow ?? 0), 0);

  /** How many writes have waited so far, and how many of them were released. */
  const counted = async (program: ProxyProgram) => {
    const metrics = await program.metrics();
    const [held, released] = [
      /^strangler_held_writes_total\{.*slice="catalog".*\} (\d+)$/m,
      /^strangler_hold_ended_total\{.*end="released".*\} (\d+)$/m,
    ].map((sample) => Number(sample.exec(metrics)?.[1] ?? 0));
    return { held: held!, released: released! };
  };

  test('that starts under it acknowledges it before it takes traffic, and holds', async () => {
    await latest?.stop();
    const held = await hold();
    const program = await running();
    await ackOf(held);
    const waiting = write(program, 1);
    await eventually(async () => expect(await heldNow(program)).toBe(1));
    await change({ writes: { owner: 'monolith' } });
    expect(await (await waiting).text()).toBe('monolith');
  }, 120_000);

  test('acknowledges it under its session when the last write of before has ended, and takes it back when it is over', async () => {
    const program = await running();
    const countedBefore = await counted(program);
    const before = write(program, 1, { 'x-slow': 'yes' });
    await eventually(() => monolith.written.length === 1);

    const held = await hold();
    await eventually(async () => {
      for (const slice of await writesOf(program)) expect(slice).toMatchObject({ gate: 'cut-over', epoch: held.epoch });
    });
    const waiting = [2, 3, 4].map((number) => write(program, number));
    await eventually(async () => expect(await heldNow(program)).toBe(3));
    // One of two workers has nothing under way; the proxy as a whole has.
    expect((await writesOf(program)).map((slice) => slice?.acknowledged).sort()).toEqual([held.change.id, null].sort());
    expect(await ackNow()).toBeUndefined();

    monolith.answerSlow();
    expect((await before).status).toBe(200);
    const ack = await ackOf(held);
    expect(ack).toMatchObject({ workers: 2, session: await liveSession() });
    expect(await program.status()).toMatchObject({ membership: 'member', acknowledged: [{ slice: 'catalog' }] });

    const { epoch } = await change({ writes: { owner: 'service' } });
    for (const answer of await Promise.all(waiting)) expect(await answer.text()).toBe('service');
    expect(service.written.sort()).toEqual([2, 3, 4].map((number) => `${number}@${epoch}`));
    expect(monolith.written).toHaveLength(1);
    await eventually(async () => expect(await ackNow()).toBeUndefined());
    expect(await counted(program)).toEqual({ held: countedBefore.held + 3, released: countedBefore.released + 3 });
  }, 120_000);

  test('keeps 1,000 writes, and sends each of them once, those that came first before those that came later', async () => {
    const program = await proxies.start({ SERVICE_ID: 'proxy-2', WORKERS: '1', HOLD_RELEASE_CONCURRENCY: '1' });
    const held = await hold();
    await ackOf(held, 'proxy-2');
    const answers: Promise<Response>[] = [];
    for (let batch = 1; batch <= 10; batch += 1) {
      for (let at = 0; at < 100; at += 1) answers.push(write(program, batch));
      await eventually(async () => expect(await heldNow(program)).toBe(batch * 100));
    }
    const { epoch } = await change({ writes: { owner: 'service' } });
    for (const answer of await Promise.all(answers)) expect(await answer.text()).toBe('service');
    expect(monolith.written).toEqual([]);
    expect(service.written).toEqual(Array.from({ length: 1_000 }, (_, at) => `${Math.floor(at / 100) + 1}@${epoch}`));
    await program.stop('SIGKILL');
  }, 180_000);

  test('acknowledges it though a worker dies with a write under way, and the worker that follows holds too', async () => {
    const program = await running();
    const lost = write(program, 1, { 'x-slow': 'yes' }).catch(() => 'lost');
    await eventually(() => monolith.written.length === 1);
    const held = await hold();
    await eventually(async () =>
      expect((await writesOf(program)).map((slice) => slice?.gate)).toEqual(['cut-over', 'cut-over']),
    );
    expect(await ackNow()).toBeUndefined();
    const busy = (await program.status()).workers.find(({ inFlight }) => inFlight === 1)!;
    process.kill(busy.pid, 'SIGKILL');
    expect(await lost).toBe('lost');
    await ackOf(held);
    await eventually(async () => {
      const { workers } = await program.status();
      expect(workers).toHaveLength(2);
      for (const { writes } of workers)
        expect(writes?.[0]).toMatchObject({ gate: 'cut-over', acknowledged: held.change.id });
    });
    await ackOf(held);
  }, 120_000);

  test('killed with -9 and started again takes its own place at once, and acknowledges', async () => {
    const first = await running();
    const held = await hold();
    await ackOf(held);
    const session = await liveSession();
    await first.stop('SIGKILL');
    const second = await running();
    await eventually(async () => {
      expect(await liveSession()).toEqual(expect.any(String));
      expect(await liveSession()).not.toBe(session);
      expect((await ackNow())?.session).toBe(await liveSession());
    });
    // It has not waited until Consul ended the dead one's session.
    expect(second.log.filter(({ msg }) => String(msg).includes('another proxy has this id'))).toEqual([]);
  }, 120_000);

  test('cut off from Consul sends no write any more before its session can have ended, and the held ones to the new owner when it is back', async () => {
    const program = await running();
    expect(await (await write(program, 1)).text()).toBe('monolith');
    const session = await liveSession();
    expect(session).toBeDefined();

    await line.stall();
    // Ownership moves without it, as it does when its session has ended.
    await eventually(async () => expect(await liveSession()).toBeUndefined(), { withinMs: 40_000 });
    expect((await program.status()).membership).toBe('cut-off');
    const { epoch } = await change({ writes: { owner: 'service' } });
    const waiting = [2, 3].map((number) => write(program, number));
    await eventually(async () => expect(await heldNow(program)).toBe(2));
    expect(monolith.written).toHaveLength(1);
    expect(await (await fetch(`${program.url}/api/products`)).text()).toBe('service');
    expect(await program.metrics()).toMatch(/strangler_writes_cut_off\{.*slice="catalog".*\} 1/);

    await line.pass();
    for (const answer of await Promise.all(waiting)) expect(await answer.text()).toBe('service');
    expect(service.written.sort()).toEqual([`2@${epoch}`, `3@${epoch}`]);
    expect(monolith.written).toHaveLength(1);
    await eventually(async () => expect((await program.status()).membership).toBe('member'));
  }, 180_000);

  test('asked to stop answers what it holds 503 with Retry-After, and leaves Consul', async () => {
    const program = await running();
    await ackOf(await hold());
    const waiting = write(program, 1);
    await eventually(async () => expect(await heldNow(program)).toBe(1));
    const ended = program.stop();
    const answer = await waiting;
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await ended).toBe(0);
    expect(await liveSession()).toBeUndefined();
    expect(await ackNow()).toBeUndefined();
  }, 120_000);

  test('with flags in a file says on its admin port what it holds and has acknowledged', async () => {
    const path = join(proxies.folder, 'flags.json');
    const file = createFileFlagStore(path);
    await change({}, file);
    const program = await proxies.start({ STRANGLER_FLAGS: `file://${path}` });
    const before = write(program, 1, { 'x-slow': 'yes' });
    await eventually(() => monolith.written.length === 1);
    const held = await hold(file);
    await eventually(async () =>
      expect((await writesOf(program)).map((slice) => slice?.gate)).toEqual(['cut-over', 'cut-over']),
    );
    expect(await program.status()).toMatchObject({ membership: 'none', acknowledged: [] });
    monolith.answerSlow();
    await before;
    await eventually(async () =>
      expect((await program.status()).acknowledged).toEqual([
        { slice: 'catalog', epoch: held.epoch, changeId: held.change.id },
      ]),
    );
    const waiting = write(program, 2);
    await eventually(async () => expect(await heldNow(program)).toBe(1));
    await change({ writes: { owner: 'service' } }, file);
    expect(await (await waiting).text()).toBe('service');
  }, 120_000);
});
