import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type ConsulClient, createConsul } from '@strangler/platform/consul/client.ts';
import { type Registered, register, type ServiceRegistration } from '@strangler/platform/consul/register.ts';
import { createLog } from '@strangler/platform/log.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { allowNetworks } from '../discovery/allowed-networks.ts';
import { consulDiscovery } from '../discovery/consul-discovery.ts';
import { type LastKnown, openLastKnown } from '../discovery/last-known.ts';
import { servicePolicy } from './policy.ts';
import { type InstanceProcess, startInstance } from './testing/instance-process.ts';
import { read, send } from './testing/send.ts';
import type { Upstream, UpstreamEvent } from './upstream.ts';
import { createUpstreams, type RunningUpstreams } from './upstreams.ts';

const log = createLog({ name: 'upstream-test', level: 'silent' });
let service: string;
let direct: ConsulClient;
let watching: ConsulClient;
let network: TcpProxy;
let directory: string;
let lastKnown: LastKnown;
let upstreams: RunningUpstreams;
let events: UpstreamEvent[];
let instances: InstanceProcess[];
let registrations: Registered[];

beforeEach(async () => {
  service = `catalog-${randomBytes(4).toString('hex')}`;
  network = await startTcpProxy(testServers().consulUrl);
  directory = await mkdtemp(join(tmpdir(), 'upstream-'));
  direct = createConsul({ url: testServers().consulUrl, log });
  watching = createConsul({ url: network.url, log });
  lastKnown = openLastKnown(directory, log);
  events = [];
  instances = [];
  registrations = [];
  upstreams = createUpstreams({
    monolithOrigins: ['http://127.0.0.1:9'],
    discovery: consulDiscovery({
      consul: watching,
      allowed: allowNetworks(),
      lastKnown,
      log,
    }),
    onEvent: (event) => events.push(event),
    policies: { service: { ...servicePolicy, ejection: { ...servicePolicy.ejection, baseMs: 200 } } },
  });
  upstreams.follow([service]);
});

afterEach(async () => {
  upstreams.close();
  watching.close();
  await Promise.all(registrations.map((registration) => registration.deregister()));
  await Promise.all(instances.map((instance) => instance.kill()));
  direct.close();
  await network.close();
  await lastKnown.written();
  await rm(directory, { recursive: true, force: true });
});

async function deploy(
  name: string,
  check: ServiceRegistration['check'] = {},
): Promise<{ instance: InstanceProcess; registration: Registered; id: string }> {
  const instance = await startInstance(name);
  instances.push(instance);
  const id = `${service}-${name}`;
  const registration = await register(direct, {
    ...{ name: service, id, address: '127.0.0.1', port: instance.port, check },
  });
  registrations.push(registration);
  return { instance, registration, id };
}

function catalog(): Upstream {
  const upstream = upstreams.service(service);
  if (upstream === undefined) throw new Error(`${service} is not followed`);
  return upstream;
}

const answeredBy = async () => {
  const sent = await read(catalog());
  return sent.kind === 'answered' ? sent.by : sent.kind;
};
const statesOf = () =>
  Object.fromEntries(
    catalog()
      .status()
      .instances.map(({ id, state }) => [id, state]),
  );

test('an instance is used as soon as Consul finds it healthy, and no more once it is taken out', async () => {
  expect(await send(catalog())).toEqual({ kind: 'refused', why: 'no-instances' });
  await deploy('a');
  await eventually(async () => expect(await answeredBy()).toBe('a'));
  const b = await deploy('b');
  await eventually(async () => expect(await answeredBy()).toBe('b'));

  await b.registration.deregister();
  await eventually(() => expect(statesOf()).toEqual({ [`${service}-a`]: 'healthy' }));
  for (let i = 0; i < 10; i += 1) expect(await answeredBy()).toBe('a');
});

test('an instance that is killed is left out before Consul has said so, and is used again when it is back', async () => {
  const a = await deploy('a');
  await deploy('b');
  await eventually(() => expect(Object.values(statesOf())).toEqual(['healthy', 'healthy']));

  // Nothing that Consul says gets through for now.
  await network.stall();
  await a.instance.kill();
  await eventually(async () => {
    expect(await answeredBy()).toBe('b');
    expect(events).toContainEqual(expect.objectContaining({ kind: 'ejected', instance: a.id }));
  });
  await network.pass();
  await eventually(async () => {
    expect(await answeredBy()).toBe('b');
    expect(events).toContainEqual({ kind: 'left', upstream: service, instance: a.id });
  });

  await a.instance.start();
  await eventually(async () => expect(await answeredBy()).toBe('a'));
  expect(statesOf()).toEqual({ [a.id]: 'healthy', [`${service}-b`]: 'healthy' });
}, 180_000);

test('Consul going away disturbs no request, and instances that die meanwhile are still left out', async () => {
  const a = await deploy('a');
  await deploy('b');
  await eventually(() => expect(Object.values(statesOf())).toEqual(['healthy', 'healthy']));

  await network.refuse();
  const answers = new Set<string>();
  for (let i = 0; i < 50; i += 1) answers.add(await answeredBy());
  expect(answers).toEqual(new Set(['a', 'b']));

  await a.instance.kill();
  for (let i = 0; i < 50; i += 1) expect(await answeredBy()).toBe('b');
  expect(statesOf()[a.id]).not.toBe('healthy');

  await network.pass();
  await eventually(() => expect(statesOf()).toEqual({ [a.id]: 'critical', [`${service}-b`]: 'healthy' }));
}, 180_000);

test('an instance that works and fails its check is asked for want of another, until one is well', async () => {
  const sick = await deploy('sick', { httpPath: '/status/503' });
  await eventually(() => expect(statesOf()).toEqual({ [sick.id]: 'critical' }));
  expect(await send(catalog())).toEqual({ kind: 'refused', why: 'no-instances' });
  const anyOne = async () => await send(catalog(), '/', undefined, 'any');
  expect(await anyOne()).toMatchObject({ kind: 'answered', by: 'sick' });

  await deploy('well');
  await eventually(() => expect(statesOf()[`${service}-well`]).toBe('healthy'));
  for (let i = 0; i < 5; i += 1) expect(await anyOne()).toMatchObject({ kind: 'answered', by: 'well' });
});

test('when the last instance is gone and Consul says so, requests are refused at once', async () => {
  const a = await deploy('a');
  await eventually(async () => expect(await answeredBy()).toBe('a'));
  await a.registration.deregister();
  await eventually(async () => expect(await send(catalog())).toEqual({ kind: 'refused', why: 'no-instances' }));
});
