import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { type ConsulClient, createConsul } from '@strangler/platform/consul/client.ts';
import { createLog } from '@strangler/platform/log.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { allowNetworks } from './allowed-networks.ts';
import { consulDiscovery } from './consul-discovery.ts';
import type { Discovery, Watch } from './discovery.ts';
import { describeDiscovery } from './discovery-conformance.ts';
import { type LastKnown, openLastKnown } from './last-known.ts';

const silent = createLog({ name: 'consul-discovery-test', level: 'silent' });
let direct: ConsulClient;
let network: TcpProxy;
let directory: string;
let registered: Set<string>;
let open: (Watch | ConsulClient)[];
let keepers: LastKnown[];
let service: string;

beforeAll(() => {
  direct = createConsul({ url: testServers().consulUrl, log: silent });
});

afterAll(() => direct.close());

beforeEach(async () => {
  network = await startTcpProxy(testServers().consulUrl);
  directory = await mkdtemp(join(tmpdir(), 'consul-discovery-'));
  registered = new Set();
  open = [];
  keepers = [];
  service = `catalog-${randomBytes(4).toString('hex')}`;
});

afterEach(async () => {
  for (const one of open) one.close();
  for (const id of registered) await deregister(id);
  await network.close();
  for (const keeper of keepers) await keeper.written();
  await rm(directory, { recursive: true, force: true });
});

/** Announces an instance without a check, so that it is healthy at once. */
async function announce(name: string, address: string, port: number): Promise<string> {
  const id = `${name}-${address}-${port}`;
  await direct.connection.call(`register ${id}`, 'write', (client, wire) =>
    client.agent.service.register({ name, id, address, port, ...wire }),
  );
  registered.add(id);
  return id;
}

async function deregister(id: string): Promise<void> {
  await direct.connection.call(`deregister ${id}`, 'write', (client, wire) =>
    client.agent.service.deregister({ id, ...wire }),
  );
  registered.delete(id);
}

/** A discovery of its own, as a newly started proxy has it. */
function start({ log = silent } = {}): Discovery {
  const consul = createConsul({ url: network.url, log: silent });
  open.push(consul);
  const lastKnown = openLastKnown(directory, silent);
  keepers.push(lastKnown);
  const discovery = consulDiscovery({ consul, allowed: allowNetworks(), lastKnown, log });
  return {
    ...discovery,
    watch(name, onInstances) {
      const watch = discovery.watch(name, onInstances);
      open.push(watch);
      return watch;
    },
  };
}

function origins(discovery: Discovery, name = service): { latest(): string[] | undefined; calls: string[][] } {
  const calls: string[][] = [];
  discovery.watch(name, (instances) => calls.push(instances.map(({ origin }) => origin).sort()));
  return { calls, latest: () => calls.at(-1) };
}

const statusOf = (discovery: Discovery) => discovery.status().find((one) => one.service === service);

describeDiscovery(
  'Consul',
  {
    async open(services) {
      const change = async (name: string, ports: number[]) => {
        const wanted = ports.map((port) => `${name}-127.0.0.1-${port}`);
        const gone = [...registered].filter((id) => id.startsWith(`${name}-`) && !wanted.includes(id));
        for (const id of gone) await deregister(id);
        for (const port of ports) await announce(name, '127.0.0.1', port);
      };
      for (const [name, ports] of Object.entries(services)) await change(name, ports);
      return { discovery: start(), change, close: async () => {} };
    },
  },
  { changes: true },
);

test('an instance outside the allowed networks is refused loudly, counted once, and does not disturb the others', async () => {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  await announce(service, '169.254.169.254', 80);
  await announce(service, 'metadata.internal', 80);
  await announce(service, '127.0.0.1', 3101);
  const discovery = start({ log: createLog({ name: 'discovery', level: 'error', destination: sink }) });
  const seen = origins(discovery);
  await eventually(() => expect(seen.latest()).toEqual(['http://127.0.0.1:3101']));
  await announce(service, '127.0.0.1', 3102);
  await eventually(() => expect(seen.latest()).toEqual(['http://127.0.0.1:3101', 'http://127.0.0.1:3102']));
  expect(seen.calls.flat().filter((origin) => !origin.startsWith('http://127.0.0.1:'))).toEqual([]);
  expect(statusOf(discovery)?.refused).toEqual({ outsideAllowedNetworks: 1, badAddress: 1 });
  await eventually(() => {
    expect(lines.filter((line) => line.includes('169.254.169.254 lies outside the allowed networks'))).toHaveLength(1);
    expect(lines.filter((line) => line.includes('register it with its IP address'))).toHaveLength(1);
  });
});

test('while Consul is away the instances stay in use and their age grows; when it is back, what changed meanwhile is seen', async () => {
  await announce(service, '127.0.0.1', 3101);
  const discovery = start();
  const seen = origins(discovery);
  await eventually(() => expect(seen.latest()).toEqual(['http://127.0.0.1:3101']));

  await network.refuse();
  await announce(service, '127.0.0.1', 3102);
  await eventually(() => expect(statusOf(discovery)?.staleForMs).toBeGreaterThan(0));
  const staleForMs = statusOf(discovery)?.staleForMs ?? 0;
  await eventually(() => expect(statusOf(discovery)?.staleForMs).toBeGreaterThan(staleForMs));
  expect(seen.calls).toHaveLength(1);
  expect(statusOf(discovery)).toMatchObject({ source: 'consul', instances: [{ origin: 'http://127.0.0.1:3101' }] });

  await network.pass();
  await eventually(() => expect(seen.latest()).toEqual(['http://127.0.0.1:3101', 'http://127.0.0.1:3102']));
  expect(statusOf(discovery)?.staleForMs).toBe(0);
});

test.each(['refuse', 'stall'] as const)(
  'a proxy that starts while Consul is away (%s) begins with what an earlier one kept, and follows Consul when it is back',
  async (how) => {
    await announce(service, '127.0.0.1', 3101);
    const earlier = origins(start());
    await eventually(() => expect(earlier.latest()).toEqual(['http://127.0.0.1:3101']));
    await eventually(() => readFile(join(directory, `${service}.json`)));
    for (const one of open) one.close();

    await network[how]();
    const discovery = start();
    const seen = origins(discovery);
    await eventually(() => expect(seen.latest()).toEqual(['http://127.0.0.1:3101']));
    expect(statusOf(discovery)).toMatchObject({ source: 'disk' });
    expect(statusOf(discovery)?.staleForMs).toBeGreaterThan(0);

    await announce(service, '127.0.0.1', 3102);
    await network.pass();
    await eventually(() => expect(seen.latest()).toEqual(['http://127.0.0.1:3101', 'http://127.0.0.1:3102']));
    expect(statusOf(discovery)).toMatchObject({ source: 'consul', staleForMs: 0 });
  },
);

test('a file that someone has changed cannot send the proxy outside the allowed networks', async () => {
  await network.refuse();
  const kept = { service, learntAt: new Date().toISOString(), instances: [{ id: 'x', address: '8.8.8.8', port: 80 }] };
  await writeFile(join(directory, `${service}.json`), JSON.stringify(kept));
  const discovery = start();
  const seen = origins(discovery);
  await eventually(() => expect(seen.latest()).toEqual([]));
  expect(statusOf(discovery)?.refused.outsideAllowedNetworks).toBe(1);
});

test('nothing is said of a service while Consul is away and nothing is kept: unknown is not none', async () => {
  await network.refuse();
  const discovery = start();
  const seen = origins(discovery);
  await announce(service, '127.0.0.1', 3101);
  await eventually(() => expect(network.connections()).toBe(0));
  expect(statusOf(discovery)).toMatchObject({ source: 'nowhere', instances: [] });
  await network.pass();
  await eventually(() => expect(seen.latest()).toEqual(['http://127.0.0.1:3101']));
  expect(seen.calls).toHaveLength(1);
});
