import { expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { parseStaticInstances, staticDiscovery } from '../discovery/static-discovery.ts';
import { countUpstreamEvents, showUpstreams } from './metrics.ts';
import { servicePolicy } from './policy.ts';
import { createUpstreams } from './upstreams.ts';

test('the registry shows what the upstreams are and counts what happens in them', async () => {
  const registry = new Registry();
  const discovery = staticDiscovery(parseStaticInstances('catalog=http://127.0.0.1:3101,http://127.0.0.1:3102'));
  const upstreams = createUpstreams({
    monolithOrigins: ['http://127.0.0.1:3000'],
    discovery,
    onEvent: countUpstreamEvents(registry),
    policies: { service: { ...servicePolicy, maxConcurrent: 4 } },
  });
  showUpstreams(registry, upstreams, discovery);
  upstreams.follow(['catalog']);
  upstreams.monolith().acquire();
  const other = new Set(['http://127.0.0.1:3102']);
  for (let i = 0; i < 3; i += 1) {
    const lease = upstreams.service('catalog')?.acquire(other);
    if (lease?.kind === 'leased') lease.release({ kind: 'failed', cause: 'connect', latencyMs: 1 });
  }
  upstreams.service('catalog')?.acquire(other);

  const text = await registry.metrics();
  for (const line of [
    'upstream_leases{upstream="monolith"} 1',
    'upstream_leases_max{upstream="catalog"} 4',
    'upstream_circuit{upstream="catalog",state="closed"} 1',
    'upstream_instances{upstream="catalog",state="ejected"} 1',
    'upstream_instances{upstream="catalog",state="healthy"} 1',
    'upstream_ejections_total{upstream="catalog",cause="connect"} 1',
    'upstream_refusals_total{upstream="catalog",why="all-ejected"} 1',
    'upstream_changes_total{upstream="catalog",change="joined"} 2',
    'discovery_stale_seconds{upstream="catalog"} 0',
    'discovery_refused_instances{upstream="catalog",why="bad-address"} 0',
  ]) {
    expect(text).toContain(`${line}\n`);
  }

  upstreams.follow([]);
  expect(await registry.metrics()).not.toContain('upstream_leases{upstream="catalog"}');
});
