import { randomUUID } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { eventually } from '../testing/eventually.ts';
import { testServers } from '../testing/servers.ts';
import { startTcpProxy } from '../testing/tcp-proxy.ts';
import { createConsul } from './client.ts';
import { register } from './register.ts';
import { type ServiceInstance, watchService } from './watch.ts';

const log = pino({ level: 'silent' });
const { consulUrl } = testServers();
const consul = createConsul({ url: consulUrl, log });
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

afterAll(() => consul.close());

/** A process that Consul can ask whether it is ready. */
async function startInstance() {
  const state = { ready: true };
  const server = http.createServer((req, res) => {
    res.statusCode = state.ready && req.url === '/health/ready' ? 200 : 503;
    res.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { state, port: (server.address() as AddressInfo).port };
}

function follow(service: string, include: 'passing' | 'all') {
  const seen: ServiceInstance[][] = [];
  const watch = watchService(consul, { service, include }, { onChange: (instances) => void seen.push(instances) });
  closers.push(async () => {
    watch.stop();
    await watch.stopped;
  });
  return { watch, now: () => seen.at(-1) };
}

test('an instance is found when it passes its check, left out while it does not, and gone when deregistered', async () => {
  const name = `test-${randomUUID()}`;
  const { state, port } = await startInstance();
  const passing = follow(name, 'passing');
  const all = follow(name, 'all');
  await passing.watch.first;
  expect(passing.now()).toEqual([]);

  const instance = { name, id: `${name}-1`, address: '127.0.0.1', port, tags: ['v1'], meta: { grpc_port: '1' } };
  const registered = await register(consul, instance);
  closers.push(() => registered.deregister());
  expect(registered.registered()).toBe(true);
  const { id, address, tags, meta } = instance;
  await eventually(() => expect(passing.now()).toEqual([{ id, address, port, tags, meta, status: 'passing' }]));

  state.ready = false;
  await eventually(() => expect(passing.now()).toEqual([]));
  await eventually(() => expect(all.now()).toMatchObject([{ id, status: 'critical' }]));

  await Promise.all([registered.deregister(), registered.deregister()]);
  await eventually(() => expect(all.now()).toEqual([]));
  await registered.deregister();
  expect(registered.registered()).toBe(false);
});

test('an instance that the agent forgot is registered again', async () => {
  const name = `test-${randomUUID()}`;
  const { port } = await startInstance();
  const id = `${name}-1`;
  const registered = await register(consul, { name, id, address: '127.0.0.1', port, lookEveryMs: 50 });
  closers.push(() => registered.deregister());
  const all = follow(name, 'all');
  await all.watch.first;
  await consul.connection.call('forget', 'write', (client, wire) => client.agent.service.deregister({ id, ...wire }));
  const deregistered = all.now();
  await eventually(() => all.now() !== deregistered && all.now()?.length === 1);
});

test('an agent that is away when a process starts does not keep it from starting, and is told when it is back', async () => {
  const name = `test-${randomUUID()}`;
  const { port } = await startInstance();
  const proxy = await startTcpProxy(consulUrl);
  closers.push(() => proxy.close());
  await proxy.refuse();
  const through = createConsul({ url: proxy.url, log });
  closers.push(() => through.close());
  const registered = await register(through, { name, id: `${name}-1`, address: '127.0.0.1', port, lookEveryMs: 50 });
  closers.push(() => registered.deregister());
  expect(registered.registered()).toBe(false);
  await proxy.pass();
  await eventually(() => registered.registered());
});

test('an agent that is late the first time is told once more that the instance goes', async () => {
  const name = `test-${randomUUID()}`;
  const id = `${name}-1`;
  const { port } = await startInstance();
  const told: string[] = [];
  const late = {
    ...consul,
    connection: {
      ...consul.connection,
      call: (async (what, ...rest) => {
        if (!what.startsWith('deregister')) return consul.connection.call(what, ...rest);
        told.push(what);
        if (told.length === 1) throw new Error('no answer within 2000 ms');
        return consul.connection.call(what, ...rest);
      }) as typeof consul.connection.call,
    },
  };
  const registered = await register(late, { name, id, address: '127.0.0.1', port });
  await registered.deregister();
  expect(told).toEqual([`deregister ${id}`, `deregister ${id}`]);
  const known = await consul.connection.call('ask', 'read', (client, wire) =>
    client.agent.service.list({ filter: `ID == ${JSON.stringify(id)}`, ...wire }),
  );
  expect(known).toEqual({});
});

test('deregistering from an agent that is away ends, and throws nothing', async () => {
  const name = `test-${randomUUID()}`;
  const { port } = await startInstance();
  const proxy = await startTcpProxy(consulUrl);
  closers.push(() => proxy.close());
  const through = createConsul({ url: proxy.url, log });
  closers.push(() => through.close());
  const id = `${name}-1`;
  const registered = await register(through, { name, id, address: '127.0.0.1', port });
  closers.push(() =>
    consul.connection.call('forget', 'write', (client, wire) => client.agent.service.deregister({ id, ...wire })),
  );
  await proxy.refuse();
  await registered.deregister();
  expect(registered.registered()).toBe(false);
});
