import { expect, test } from '@jest/globals';
import type { DiscoveredInstance, Discovery } from '../discovery/discovery.ts';
import { createUpstreams } from './upstreams.ts';

/** A source of instances that the test speaks through. */
function spokenDiscovery() {
  const listeners = new Map<string, (instances: DiscoveredInstance[]) => void>();
  const discovery: Discovery = {
    watch(service, onInstances) {
      listeners.set(service, onInstances);
      return { close: () => listeners.delete(service) };
    },
    status: () => [],
  };
  const say = (service: string, ...origins: string[]) =>
    listeners.get(service)?.(origins.map((origin) => ({ id: origin, origin, passing: true })));
  return { discovery, say, watched: () => [...listeners.keys()] };
}

const monolithOrigins = ['http://127.0.0.1:3000'];
const one = 'http://127.0.0.1:3101';

test('the monolith can be had at once, a service once it is followed and discovered', () => {
  const { discovery, say } = spokenDiscovery();
  const upstreams = createUpstreams({ monolithOrigins, discovery, onEvent: () => {} });
  expect(upstreams.monolith().acquire()).toMatchObject({
    kind: 'leased',
    instance: { side: 'monolith', service: 'monolith', origin: monolithOrigins[0] },
  });
  expect(upstreams.service('catalog')).toBeUndefined();
  upstreams.follow(['catalog']);
  expect(upstreams.service('catalog')?.acquire()).toEqual({ kind: 'refused', why: 'no-instances' });
  say('catalog', one);
  expect(upstreams.service('catalog')?.acquire()).toMatchObject({
    kind: 'leased',
    instance: { side: 'service', service: 'catalog', id: one, origin: one },
  });
});

test('following other services closes those no longer named and leaves the rest as they are', () => {
  const { discovery, say, watched } = spokenDiscovery();
  const upstreams = createUpstreams({ monolithOrigins, discovery, onEvent: () => {} });
  upstreams.follow(['catalog', 'orders']);
  say('catalog', one);
  const kept = upstreams.service('catalog');
  upstreams.follow(['catalog', 'payments']);
  expect(watched().sort()).toEqual(['catalog', 'payments']);
  expect(upstreams.service('orders')).toBeUndefined();
  expect(upstreams.service('catalog')).toBe(kept);
  expect(upstreams.status().map(({ name }) => name)).toEqual(['monolith', 'catalog', 'payments']);
});

test('closing stops every watch and lends nothing more', () => {
  const { discovery, watched } = spokenDiscovery();
  const upstreams = createUpstreams({ monolithOrigins, discovery, onEvent: () => {} });
  upstreams.follow(['catalog']);
  upstreams.close();
  expect(watched()).toEqual([]);
  expect(upstreams.monolith().acquire()).toEqual({ kind: 'refused', why: 'no-instances' });
});

test('a proxy without a monolith is refused: there would be nothing to fall back on', () => {
  const { discovery } = spokenDiscovery();
  expect(() => createUpstreams({ monolithOrigins: [], discovery, onEvent: () => {} })).toThrow(
    /origin of the monolith/,
  );
});
