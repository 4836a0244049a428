import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type ConsulClient, createConsul } from '@strangler/platform/consul/client.ts';
import { register } from '@strangler/platform/consul/register.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { proxyServiceName } from '@strangler/platform/contracts/proxy-status.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { createConsulFlagStore } from '@strangler/platform/flags/consul-store.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import WebSocket, { WebSocketServer } from 'ws';
import { type ProxyProgram, startProxyProgram } from './testing/proxy-program.ts';

const log = createLog({ name: 'test', level: 'silent' });

/** A real server that says who it is, and can keep a request waiting. */
const startSide = async (name: string): Promise<{ url: string; port: number; server: Server; answerHeld(): void }> => {
  const held: (() => void)[] = [];
  const server = createServer((req, res) => {
    const answer = (): void => void res.setHeader('content-type', 'text/plain').end(name);
    if (req.url?.startsWith('/api/slow')) held.push(answer);
    else answer();
  }).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    server,
    answerHeld: () => {
      for (const answer of held.splice(0)) answer();
    },
  };
};

describe('the proxy as a program', () => {
  const root = `test/proxy-${crypto.randomUUID()}`;
  const service = `catalog-${crypto.randomUUID().slice(0, 8)}`;
  const cleanUp: (() => unknown)[] = [];
  const atEnd = (step: () => unknown) => void cleanUp.push(step);
  let folder: string;
  let monolith: Awaited<ReturnType<typeof startSide>>;
  let catalog: Awaited<ReturnType<typeof startSide>>;
  let consul: ConsulClient;
  let store: FlagStore;
  /** Between all proxies and Consul. */
  let line: TcpProxy;
  let pair: ProxyProgram[] = [];

  const writeSlice = async (name: string, text: string) => {
    await mkdir(join(folder, name, 'catalog'), { recursive: true });
    await writeFile(join(folder, name, 'catalog/slice.yaml'), text);
  };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'proxy-'));
    atEnd(() => rm(folder, { recursive: true }));
    for (const name of ['monolith', 'service'] as const) {
      const side = await startSide(name);
      atEnd(() => {
        side.server.closeAllConnections();
        side.server.close();
      });
      if (name === 'monolith') monolith = side;
      else catalog = side;
    }
    await writeSlice(
      'slices',
      `slice: catalog\nservice: ${service}\nroutes: [ GET /api/products, GET /api/slow, POST /api/products ]\n`,
    );
    consul = createConsul({ url: testServers().consulUrl, log });
    store = createConsulFlagStore({ consul, root });
    atEnd(async () => {
      for (const key of (await consul.kv.list(root)).keys()) await consul.kv.delete(key);
      consul.close();
    });
    line = await startTcpProxy(testServers().consulUrl);
    atEnd(() => line.close());
    const registered = await register(consul, {
      name: service,
      id: `${service}-1`,
      address: '127.0.0.1',
      port: catalog.port,
    });
    atEnd(() => registered.deregister());
  });
  beforeEach(async () => {
    const { change } = await changeFlag(
      store,
      'catalog',
      (flag) => ({ ...flag, reads: { percent: 0, cohorts: [] }, writes: { owner: 'monolith' }, epoch: flag.epoch + 1 }),
      { by: 'test', reason: '' },
    );
    pair = pair.filter(({ child }) => child.exitCode === null && child.signalCode === null);
    for (const program of pair) await eventually(() => obeyedBy(program, change.id));
  });
  afterAll(async () => {
    for (const step of cleanUp.reverse()) await step();
  });

  const start = async (more: Record<string, string> = {}): Promise<ProxyProgram> => {
    const program = await startProxyProgram({
      MONOLITH_URL: monolith.url,
      STRANGLER_SLICES: join(folder, 'slices'),
      STRANGLER_FLAGS: `consul://${new URL(line.url).host}/${root}`,
      SERVICE_ID: `proxy-${crypto.randomUUID()}`,
      DATA_DIRECTORY: join(folder, `data-${crypto.randomUUID()}`),
      WORKERS: '2',
      ...more,
    });
    atEnd(() => program.stop('SIGKILL'));
    return program;
  };
  /** Proxies that tests share, and may end: the next finds as many as it asks for. */
  const running = async (count: 1 | 2 = 1): Promise<[ProxyProgram, ...ProxyProgram[]]> => {
    pair.push(...(await Promise.all(Array.from({ length: Math.max(0, count - pair.length) }, () => start()))));
    return pair as [ProxyProgram, ...ProxyProgram[]];
  };
  const setReads = (percent: number) =>
    changeFlag(store, 'catalog', (flag) => ({ ...flag, reads: { percent, cohorts: [] } }), { by: 'test', reason: '' });
  const ask = async (program: ProxyProgram, path = '/api/products'): Promise<string> =>
    (await fetch(`${program.url}${path}`)).text();
  const obeyedBy = async (program: ProxyProgram, changeId: string): Promise<void> => {
    const { workers } = await program.status();
    expect(workers).toHaveLength(2);
    for (const { flags } of workers) expect(flags).toMatchObject([{ slice: 'catalog', changeId }]);
  };

  const obeyed = async (programs: readonly ProxyProgram[], { change }: FlagDocument): Promise<void> => {
    for (const program of programs) await eventually(() => obeyedBy(program, change.id));
  };

  test('keeps its flags while Consul is away, starts with them, and obeys again when Consul is back', async () => {
    const environment = { DATA_DIRECTORY: join(folder, 'data'), SERVICES: `${service}=${catalog.url}` };
    await setReads(100);
    const first = await start(environment);
    expect(await ask(first)).toBe('service');

    await line.refuse();
    expect(await ask(first)).toBe('service');
    expect(await first.stop()).toBe(0);

    const second = await start(environment);
    expect(await ask(second)).toBe('service');
    expect((await second.status()).workers.map((worker) => worker.flagSource)).toEqual(['disk', 'disk']);
    expect(await second.metrics()).toMatch(/strangler_flag_store_reachable\{.*\} 0/);

    await setReads(0);
    await line.pass();
    await eventually(async () => expect(await ask(second)).toBe('monolith'));
    pair.push(second);
  });

  test('a flip is obeyed by every worker of every proxy, without a restart', async () => {
    const proxies = await running(2);
    for (const program of proxies) expect(await ask(program)).toBe('monolith');
    await obeyed(proxies, await setReads(100));
    for (const program of proxies)
      for (let turn = 0; turn < 4; turn += 1) await eventually(async () => expect(await ask(program)).toBe('service'));
    await obeyed(proxies, await setReads(0));
    for (const program of proxies) expect(await ask(program)).toBe('monolith');
    expect(await proxies[0].metrics()).toMatch(/strangler_requests_total\{.*slice="catalog".*side="service"/);
  });

  test('a document that does not parse changes nothing and is told', async () => {
    const [program] = await running();
    await obeyed([program], await setReads(100));
    const good = (await consul.kv.get(`${root}/slices/catalog`))!;
    await consul.kv.put(`${root}/slices/catalog`, '{"stage":"somewhere"}');
    await eventually(async () =>
      expect(await program.metrics()).toMatch(/strangler_flag_events_total\{.*event="refused".*\} 2/),
    );
    expect(await ask(program)).toBe('service');
    expect(program.log.some(({ msg, why }) => String(msg).includes('refused') && String(why).includes('stage'))).toBe(
      true,
    );
    await consul.kv.put(`${root}/slices/catalog`, good.value);
  });

  test('a write is answered 503 while ownership is being moved, and reaches nobody', async () => {
    const held = await changeFlag(
      store,
      'catalog',
      (flag) => ({
        ...flag,
        reads: { percent: 100, cohorts: [] },
        writes: { owner: 'held', from: 'monolith', to: 'service', deadline: new Date().toISOString() },
      }),
      { by: 'test', reason: '' },
    );
    const [program] = await running();
    await obeyed([program], held);
    const asked: string[] = [];
    for (const { server } of [monolith, catalog]) server.on('request', (req) => asked.push(`${req.method}`));
    const answer = await fetch(`${program.url}/api/products`, { method: 'POST', body: '{}' });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await answer.json()).toMatchObject({ title: 'Writes are held' });
    expect(asked).toEqual([]);
    expect(await ask(program)).toBe('service');
  });

  test('without slices needs nothing else; WebSockets pass, the first request on a worker among them, and are ended when it stops', async () => {
    const sockets = new WebSocketServer({ server: monolith.server });
    sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${data}`)));
    atEnd(() => sockets.close());
    const program = await startProxyProgram({ MONOLITH_URL: monolith.url, DRAIN_GRACE: '2000' });
    atEnd(() => program.stop('SIGKILL'));
    const socket = new WebSocket(`${program.url.replace('http', 'ws')}/stream`);
    const answer = new Promise((resolve, reject) => {
      socket.on('error', reject);
      socket.on('message', (data) => resolve(String(data)));
      socket.on('open', () => socket.send('hello'));
    });
    expect(await answer).toBe('echo hello');
    expect(await ask(program, '/anything')).toBe('monolith');
    const closed = new Promise((resolve) => socket.on('close', resolve));
    expect(await program.stop()).toBe(0);
    await closed;
  });

  test('a worker killed with -9 is replaced', async () => {
    const [program] = await running();
    const before = (await program.status()).workers.map((worker) => worker.pid);
    process.kill(before[0]!, 'SIGKILL');
    await eventually(async () => {
      const now = (await program.status()).workers.map((worker) => worker.pid);
      expect(now).toHaveLength(2);
      expect(now).not.toContain(before[0]);
    });
    expect(await ask(program)).toBe('monolith');
  });

  test('asked to stop it leaves Consul, finishes what is in flight, and ends with 0', async () => {
    const [program] = await running();
    const registered = async (): Promise<boolean> => {
      const all: unknown = await consul.connection.call('proxies', 'read', (api, wire) =>
        api.health.service({ service: proxyServiceName, ...wire }),
      );
      return (all as { Service: { Meta: { admin: string } } }[]).some(
        (one) => one.Service.Meta.admin === program.adminUrl,
      );
    };
    await eventually(async () => expect(await registered()).toBe(true));
    const slow = ask(program, '/api/slow');
    await eventually(async () =>
      expect((await program.status()).workers.some((worker) => worker.inFlight === 1)).toBe(true),
    );

    const ended = program.stop();
    await eventually(async () => expect(await registered()).toBe(false));
    monolith.answerHeld();
    expect(await slow).toBe('monolith');
    expect(await ended).toBe(0);
    await expect(ask(program)).rejects.toThrow();
  });

  test('killed with -9 it leaves no worker behind', async () => {
    const [program] = await running();
    const workers = (await program.status()).workers.map((worker) => worker.pid);
    await program.stop('SIGKILL');
    await eventually(() => {
      for (const pid of workers) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    });
  });

  test('with a slice file that has faults it says all of them and does not start', async () => {
    await writeSlice('bad', 'slice: catalog\nroutes: [ FETCH /x ]\n');
    await expect(start({ STRANGLER_SLICES: join(folder, 'bad') })).rejects.toThrow(
      /ended with 1: [\s\S]*slice\.yaml:1 service[\s\S]*slice\.yaml:2 routes\.0/,
    );
  });

  test('with a port that is taken it says which and does not start', async () => {
    await expect(start({ PORT: String(monolith.port) })).rejects.toThrow(
      new RegExp(`ended with 1: [\\s\\S]*${monolith.port}`),
    );
  });
});
