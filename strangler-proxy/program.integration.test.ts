import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createConsul } from '@strangler/platform/consul/client.ts';
import { register } from '@strangler/platform/consul/register.ts';
import { proxyServiceName } from '@strangler/platform/contracts/proxy-status.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { createConsulFlagStore } from '@strangler/platform/flags/consul-store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
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
  let folder: string;
  let root: string;
  let service: string;
  let cleanUp: (() => unknown)[];
  let monolith: Awaited<ReturnType<typeof startSide>>;
  let catalog: Awaited<ReturnType<typeof startSide>>;
  const consul = () => createConsul({ url: testServers().consulUrl, log });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'proxy-'));
    root = `test/proxy-${crypto.randomUUID()}`;
    service = `catalog-${crypto.randomUUID().slice(0, 8)}`;
    monolith = await startSide('monolith');
    catalog = await startSide('service');
    cleanUp = [];
    await mkdir(join(folder, 'slices/catalog'), { recursive: true });
    await writeFile(
      join(folder, 'slices/catalog/slice.yaml'),
      `slice: catalog\nservice: ${service}\nroutes: [ GET /api/products, GET /api/slow, POST /api/products ]\n`,
    );
  });
  afterEach(async () => {
    for (const step of cleanUp.reverse()) await step();
    for (const { server } of [monolith, catalog]) {
      server.closeAllConnections();
      server.close();
    }
    await rm(folder, { recursive: true });
  });

  const start = async (more: Record<string, string> = {}): Promise<ProxyProgram> => {
    const { host } = new URL(testServers().consulUrl);
    const program = await startProxyProgram({
      MONOLITH_URL: monolith.url,
      STRANGLER_SLICES: join(folder, 'slices'),
      STRANGLER_FLAGS: `consul://${host}/${root}`,
      SERVICE_ID: `proxy-${crypto.randomUUID()}`,
      WORKERS: '2',
      ...more,
    });
    cleanUp.push(() => program.stop('SIGKILL'));
    return program;
  };
  const openStore = () => {
    const client = consul();
    cleanUp.push(async () => {
      for (const key of (await client.kv.list(root)).keys()) await client.kv.delete(key);
      client.close();
    });
    return createConsulFlagStore({ consul: client, root });
  };
  const setReads = (store: ReturnType<typeof openStore>, percent: number) =>
    changeFlag(store, 'catalog', (flag) => ({ ...flag, reads: { percent, cohorts: [] } }), { by: 'test', reason: '' });
  const registerCatalog = async (): Promise<void> => {
    const client = consul();
    const registered = await register(client, {
      name: service,
      id: `${service}-1`,
      address: '127.0.0.1',
      port: catalog.port,
    });
    cleanUp.push(async () => {
      await registered.deregister();
      client.close();
    });
  };
  const ask = async (program: ProxyProgram, path = '/api/products'): Promise<string> =>
    (await fetch(`${program.url}${path}`)).text();
  const obeyedBy = async (program: ProxyProgram, changeId: string): Promise<void> => {
    const { workers } = await program.status();
    expect(workers).toHaveLength(2);
    for (const { flags } of workers) expect(flags).toMatchObject([{ slice: 'catalog', changeId }]);
  };

  test('without slices is in front of a foreign server and needs nothing else', async () => {
    const program = await startProxyProgram({ MONOLITH_URL: monolith.url });
    cleanUp.push(() => program.stop('SIGKILL'));
    expect(await ask(program, '/anything')).toBe('monolith');
    expect(await program.stop()).toBe(0);
  });

  test('a flip is obeyed by every worker of every proxy, without a restart', async () => {
    const store = openStore();
    await registerCatalog();
    const proxies = await Promise.all([start(), start()]);
    for (const program of proxies) expect(await ask(program)).toBe('monolith');
    const { change } = await setReads(store, 100);
    await eventually(() => Promise.all(proxies.map((program) => obeyedBy(program, change.id))));
    for (const program of proxies)
      for (let turn = 0; turn < 4; turn += 1) await eventually(async () => expect(await ask(program)).toBe('service'));
    const back = await setReads(store, 0);
    await eventually(() => Promise.all(proxies.map((program) => obeyedBy(program, back.change.id))));
    for (const program of proxies) expect(await ask(program)).toBe('monolith');
    expect(await proxies[0]!.metrics()).toMatch(/strangler_requests_total\{.*slice="catalog".*side="service"/);
  });

  test('keeps its flags while Consul is away, starts with them, and obeys again when Consul is back', async () => {
    const store = openStore();
    const line = await startTcpProxy(testServers().consulUrl);
    cleanUp.push(() => line.close());
    const environment = {
      STRANGLER_FLAGS: `consul://${new URL(line.url).host}/${root}`,
      DATA_DIRECTORY: join(folder, 'data'),
      SERVICES: `${service}=${catalog.url}`,
    };
    await setReads(store, 100);
    const first = await start(environment);
    expect(await ask(first)).toBe('service');

    await line.refuse();
    expect(await ask(first)).toBe('service');
    expect(await first.stop()).toBe(0);

    const second = await start(environment);
    expect(await ask(second)).toBe('service');
    expect((await second.status()).workers.map((worker) => worker.flagSource)).toEqual(['disk', 'disk']);
    expect(await second.metrics()).toMatch(/strangler_flag_store_reachable\{.*\} 0/);

    await setReads(store, 0);
    await line.pass();
    await eventually(async () => expect(await ask(second)).toBe('monolith'));
  });

  test('a document that does not parse changes nothing and is told', async () => {
    const store = openStore();
    await setReads(store, 100);
    const program = await start({ SERVICES: `${service}=${catalog.url}` });
    const client = consul();
    cleanUp.push(() => client.close());
    await client.kv.put(`${root}/slices/catalog`, '{"stage":"somewhere"}');
    await eventually(async () =>
      expect(await program.metrics()).toMatch(/strangler_flag_events_total\{.*event="refused".*\} 2/),
    );
    expect(await ask(program)).toBe('service');
    expect(program.log.some(({ msg, why }) => String(msg).includes('refused') && String(why).includes('stage'))).toBe(
      true,
    );
  });

  test('a write is answered 503 while ownership is being moved, and reaches nobody', async () => {
    const store = openStore();
    await changeFlag(
      store,
      'catalog',
      (flag) => ({
        ...flag,
        reads: { percent: 100, cohorts: [] },
        writes: { owner: 'held', from: 'monolith', to: 'service', deadline: new Date().toISOString() },
      }),
      { by: 'test', reason: '' },
    );
    const program = await start({ SERVICES: `${service}=${catalog.url}` });
    const asked: string[] = [];
    for (const { server } of [monolith, catalog]) server.on('request', (req) => asked.push(`${req.method}`));
    const answer = await fetch(`${program.url}/api/products`, { method: 'POST', body: '{}' });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await answer.json()).toMatchObject({ title: 'Writes are held' });
    expect(asked).toEqual([]);
    expect(await ask(program)).toBe('service');
  });

  test('WebSockets pass, the first request on a worker among them, and are ended when it stops', async () => {
    const sockets = new WebSocketServer({ server: monolith.server });
    sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${data}`)));
    cleanUp.push(() => sockets.close());
    const program = await startProxyProgram({ MONOLITH_URL: monolith.url, DRAIN_GRACE: '2000' });
    cleanUp.push(() => program.stop('SIGKILL'));
    const socket = new WebSocket(`${program.url.replace('http', 'ws')}/stream`);
    const answer = new Promise((resolve, reject) => {
      socket.on('error', reject);
      socket.on('message', (data) => resolve(String(data)));
      socket.on('open', () => socket.send('hello'));
    });
    expect(await answer).toBe('echo hello');
    const closed = new Promise((resolve) => socket.on('close', resolve));
    expect(await program.stop()).toBe(0);
    await closed;
  });

  test('a worker killed with -9 is replaced', async () => {
    const program = await start();
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
    const program = await start();
    const client = consul();
    cleanUp.push(() => client.close());
    const registered = async (): Promise<boolean> => {
      const all: unknown = await client.connection.call('proxies', 'read', (api, wire) =>
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
    const program = await start();
    const workers = (await program.status()).workers.map((worker) => worker.pid);
    await program.stop('SIGKILL');
    await eventually(() => {
      for (const pid of workers) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    });
  });

  test('with a slice file that has faults it says all of them and does not start', async () => {
    await writeFile(join(folder, 'slices/catalog/slice.yaml'), 'slice: catalog\nroutes: [ FETCH /x ]\n');
    await expect(start()).rejects.toThrow(/ended with 1: [\s\S]*slice\.yaml:1 service[\s\S]*slice\.yaml:2 routes\.0/);
  });

  test('with a port that is taken it says which and does not start', async () => {
    await expect(start({ PORT: String(monolith.port) })).rejects.toThrow(
      new RegExp(`ended with 1: [\\s\\S]*${monolith.port}`),
    );
  });
});
