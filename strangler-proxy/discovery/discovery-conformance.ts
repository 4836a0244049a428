import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { DiscoveredInstance, Discovery } from './discovery.ts';

export type OpenedDiscovery = {
  discovery: Discovery;
  /** Makes these ports of 127.0.0.1 the service's healthy instances; missing where they cannot change. */
  change?(service: string, ports: number[]): Promise<void>;
  close(): Promise<void>;
};

export type DiscoveryAdapter = {
  /** A source that knows these services, each with instances at these ports of 127.0.0.1. */
  open(services: Record<string, number[]>): Promise<OpenedDiscovery>;
};

/** What every source of instances owes its users. */
export function describeDiscovery(name: string, adapter: DiscoveryAdapter, { changes = false } = {}): void {
  describe(`discovery by ${name}`, () => {
    let opened: OpenedDiscovery | undefined;
    // Names of their own, for sources that other tests use too.
    let catalog: string;
    let orders: string;

    beforeEach(() => {
      const run = randomBytes(4).toString('hex');
      catalog = `catalog-${run}`;
      orders = `orders-${run}`;
    });

    afterEach(async () => {
      await opened?.close();
      opened = undefined;
    });

    async function open(services: Record<string, number[]>): Promise<OpenedDiscovery> {
      opened = await adapter.open(services);
      return opened;
    }

    test('tells of all instances of the service that is watched, and of no other', async () => {
      const { discovery } = await open({ [catalog]: [3101, 3102], [orders]: [3401] });
      const seen = listen(discovery, catalog);
      await eventually(() => expect(seen.ports()).toEqual([3101, 3102]));
      const ids = seen.latest().map(({ id }) => id);
      expect(new Set(ids).size).toBe(2);
      for (const { origin } of seen.latest()) expect(origin).toBe(new URL(origin).origin);
    });

    test('says of a service that nobody has that it has no instances', async () => {
      const { discovery } = await open({ [catalog]: [3101] });
      const seen = listen(discovery, orders);
      await eventually(() => expect(seen.calls.at(-1)).toEqual([]));
    });

    test('tells each of several watches, and none that is closed', async () => {
      const { discovery } = await open({ [catalog]: [3101] });
      const closed = listen(discovery, catalog);
      closed.watch.close();
      const callsWhenClosed = closed.calls.length;
      const one = listen(discovery, catalog);
      const other = listen(discovery, catalog);
      await eventually(() => expect([one.ports(), other.ports()]).toEqual([[3101], [3101]]));
      expect(closed.calls.length).toBe(callsWhenClosed);
    });

    test('has a status of each watch while it is open', async () => {
      const { discovery } = await open({ [catalog]: [3101] });
      const seen = listen(discovery, catalog);
      listen(discovery, orders);
      await eventually(() => expect(discovery.status().map(({ staleForMs }) => staleForMs)).toEqual([0, 0]));
      await eventually(() => expect(seen.ports()).toEqual([3101]));
      expect(discovery.status()).toMatchObject([
        { service: catalog, instances: seen.latest(), refused: { outsideAllowedNetworks: 0, badAddress: 0 } },
        { service: orders, instances: [] },
      ]);
      seen.watch.close();
      expect(discovery.status().map(({ service }) => service)).toEqual([orders]);
    });

    test('hands out lists that its users may change', async () => {
      const { discovery } = await open({ [catalog]: [3101] });
      const seen = listen(discovery, catalog);
      await eventually(() => expect(seen.ports()).toEqual([3101]));
      seen.latest().length = 0;
      expect(discovery.status()[0]?.instances).toHaveLength(1);
    });

    if (!changes) return;

    test('tells of instances that come, of those that go, and of the last one that goes', async () => {
      const { discovery, change } = await open({ [catalog]: [3101] });
      const seen = listen(discovery, catalog);
      await eventually(() => expect(seen.ports()).toEqual([3101]));
      for (const ports of [[3101, 3102, 3103], [3103], []]) {
        await change?.(catalog, ports);
        await eventually(() => expect(seen.ports()).toEqual(ports));
      }
    });
  });
}

function listen(discovery: Discovery, service: string) {
  const calls: DiscoveredInstance[][] = [];
  const watch = discovery.watch(service, (instances) => calls.push(instances));
  const latest = () => calls.at(-1) ?? [];
  const ports = () =>
    latest()
      .map(({ origin }) => Number(new URL(origin).port))
      .sort();
  return { calls, watch, latest, ports };
}
