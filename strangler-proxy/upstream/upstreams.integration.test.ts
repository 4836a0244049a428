import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { parseStaticInstances, staticDiscovery } from '../discovery/static-discovery.ts';
import { monolithPolicy, servicePolicy } from './policy.ts';
import { type InstanceProcess, startInstance } from './testing/instance-process.ts';
import { read, send } from './testing/send.ts';
import type { Upstream, UpstreamEvent } from './upstream.ts';
import { createUpstreams, type RunningUpstreams } from './upstreams.ts';

let instances: InstanceProcess[];
let monolith: InstanceProcess;
let upstreams: RunningUpstreams;
let events: UpstreamEvent[];
let failuresAtFirstEjection: number | undefined;

beforeAll(async () => {
  [monolith, ...instances] = (await Promise.all(['monolith', 'a', 'b', 'c'].map(startInstance))) as [
    InstanceProcess,
    ...InstanceProcess[],
  ];
});

afterAll(() => Promise.all([monolith, ...instances].map((instance) => instance.kill())));

beforeEach(async () => {
  await Promise.all([monolith, ...instances].map((instance) => instance.start()));
  events = [];
  failuresAtFirstEjection = undefined;
  upstreams = createUpstreams({
    monolithOrigins: [monolith.origin],
    discovery: staticDiscovery(parseStaticInstances(`catalog=${instances.map(({ origin }) => origin).join(',')}`)),
    onEvent(event) {
      events.push(event);
      if (event.kind === 'ejected') {
        failuresAtFirstEjection ??= catalog()
          .status()
          .instances.find(({ id }) => id === event.instance)?.failures;
      }
    },
    policies: {
      service: { ...servicePolicy, ejection: { ...servicePolicy.ejection, baseMs: 200 } },
      // A window that no slow machine can leave before the failures in it have been counted.
      monolith: { ...monolithPolicy, breaker: { ...monolithPolicy.breaker, windowMs: 600_000 } },
    },
  });
  upstreams.follow(['catalog']);
});

afterEach(() => upstreams.close());

function catalog(): Upstream {
  const upstream = upstreams.service('catalog');
  if (upstream === undefined) throw new Error('catalog is not followed');
  return upstream;
}

const stateOf = (origin: string) =>
  catalog()
    .status()
    .instances.find((one) => one.origin === origin)?.state;
const eventsOf = (kind: UpstreamEvent['kind']) => events.filter((event) => event.kind === kind);

async function readsAnsweredBy(count: number): Promise<Set<string>> {
  const answers = await Promise.all(Array.from({ length: count }, () => read(catalog())));
  expect(answers.filter(({ kind }) => kind !== 'answered')).toEqual([]);
  return new Set(answers.map((answer) => (answer.kind === 'answered' ? answer.by : '')));
}

test('an instance killed under load costs no read, is ejected after three failures, and comes back when it is started again', async () => {
  const [victim] = instances as [InstanceProcess];
  expect(await readsAnsweredBy(60)).toEqual(new Set(['a', 'b', 'c']));

  await victim.kill();
  for (let i = 0; i < 40 && stateOf(victim.origin) === 'healthy'; i += 1) await readsAnsweredBy(4);
  expect(stateOf(victim.origin)).not.toBe('healthy');
  expect(eventsOf('ejected')[0]).toMatchObject({ instance: victim.origin, cause: 'connect' });
  expect(failuresAtFirstEjection).toBe(servicePolicy.ejection.consecutiveFailures);
  expect(
    catalog()
      .status()
      .instances.find(({ origin }) => origin === victim.origin)?.failures,
  ).toBeLessThanOrEqual(8);

  await victim.start();
  await eventually(async () => {
    await readsAnsweredBy(1);
    return stateOf(victim.origin) === 'healthy';
  });
  expect(eventsOf('returned')).toEqual([{ kind: 'returned', upstream: 'catalog', instance: victim.origin }]);
  expect(await readsAnsweredBy(60)).toContain('a');
});

test('a service whose instances are all dead refuses at once, so that reads go to the monolith', async () => {
  await Promise.all(instances.map((instance) => instance.kill()));
  let sent = await send(catalog());
  for (let i = 0; i < 100 && sent.kind === 'failed'; i += 1) sent = await send(catalog());
  expect(sent).toEqual({ kind: 'refused', why: 'all-ejected' });
  expect(await send(upstreams.monolith())).toMatchObject({ kind: 'answered', by: 'monolith' });
});

test('an instance that answers 503 is ejected, one that answers 500 is not', async () => {
  const others = new Set(instances.slice(1).map(({ origin }) => origin));
  const [first] = instances as [InstanceProcess];
  for (let i = 0; i < 12; i += 1) await send(catalog(), '/status/500', others);
  expect(stateOf(first.origin)).toBe('healthy');
  for (let i = 0; i < 3; i += 1) await send(catalog(), '/status/503', others);
  expect(stateOf(first.origin)).toBe('ejected');
});

test('a monolith that dies is not given up: its circuit opens only after many failures, and closes soon after its return', async () => {
  const upstream = upstreams.monolith();
  await monolith.kill();
  for (let i = 1; i < monolithPolicy.breaker.minimumVolume; i += 1) {
    expect(await send(upstream)).toMatchObject({ kind: 'failed', cause: 'connect' });
  }
  await eventually(async () => expect(await send(upstream)).toEqual({ kind: 'refused', why: 'circuit-open' }));
  await monolith.start();
  await eventually(async () => {
    await send(upstream);
    expect(upstream.status()).toMatchObject({ circuit: 'closed', inFlight: 0 });
  });
  expect(await send(upstream)).toMatchObject({ kind: 'answered', by: 'monolith' });
});
