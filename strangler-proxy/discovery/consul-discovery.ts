import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { watchService } from '@strangler/platform/consul/watch.ts';
import type { Log } from '@strangler/platform/log.ts';
import { type AnnouncedInstance, acceptInstances, explainRefusal } from './accept-instances.ts';
import type { AllowedNetworks } from './allowed-networks.ts';
import type { DiscoveredInstance, Discovery, DiscoveryStatus, Watch } from './discovery.ts';
import type { LastKnown } from './last-known.ts';

export type ConsulDiscoveryOptions = {
  consul: ConsulClient;
  allowed: AllowedNetworks;
  lastKnown: LastKnown;
  log: Log;
  /** How long to wait for Consul's first answer before starting with what is on disk, 500 ms unless told. */
  patienceMs?: number;
};

/**
 * The instances in Consul, watched with blocking queries. While Consul is away what was last known stays in use; a
 * process that starts meanwhile begins with what an earlier one kept on disk. An empty list from a Consul that answers
 * is believed: the instances are gone.
 */
export function consulDiscovery(options: ConsulDiscoveryOptions): Discovery {
  const watches = new Set<{ status(): DiscoveryStatus }>();
  return {
    watch(service, onInstances) {
      const watch = startWatch(options, service, onInstances);
      watches.add(watch);
      return {
        close() {
          watches.delete(watch);
          watch.close();
        },
      };
    },
    status: () => [...watches].map((watch) => watch.status()),
  };
}

function startWatch(
  { consul, allowed, lastKnown, log: parentLog, patienceMs = 500 }: ConsulDiscoveryOptions,
  service: string,
  onInstances: (instances: DiscoveredInstance[]) => void,
): Watch & { status(): DiscoveryStatus } {
  const log = parentLog.child({ service });
  const refused = { outsideAllowedNetworks: 0, badAddress: 0 };
  let instances: DiscoveredInstance[] = [];
  let source: DiscoveryStatus['source'] = 'nowhere';
  /** Since when Consul has not answered (Unix time), or null while it does. */
  let staleSinceMs: number | null = Date.now();
  let refusedBefore = new Set<string>();
  let closed = false;

  function take(announced: readonly AnnouncedInstance[], from: 'consul' | 'disk'): void {
    const sorted = acceptInstances(announced, allowed);
    const refusedNow = new Set<string>();
    for (const one of sorted.refused) {
      const explanation = explainRefusal(one);
      refusedNow.add(explanation);
      // The same entry comes again with every change of another one, and is one refusal.
      if (refusedBefore.has(explanation)) continue;
      refused[one.why === 'bad-address' ? 'badAddress' : 'outsideAllowedNetworks'] += 1;
      log.error({ instance: one.id, address: one.address, port: one.port, why: one.why }, explanation);
    }
    refusedBefore = refusedNow;
    instances = sorted.accepted;
    source = from;
    onInstances([...instances]);
  }

  async function startFromDisk(): Promise<void> {
    clearTimeout(impatience);
    const kept = await lastKnown.read(service);
    if (kept === undefined || closed || source !== 'nowhere') return;
    staleSinceMs = Math.min(Date.now(), Date.parse(kept.learntAt));
    log.warn({ learntAt: kept.learntAt }, 'Consul has not answered yet; starting with the instances kept on disk');
    take(kept.instances, 'disk');
  }

  // An agent that cannot be reached says so at once; behind a broken network it says nothing for long.
  const impatience = setTimeout(() => void startFromDisk(), patienceMs);
  const watch = watchService(
    consul,
    { service, include: 'all' },
    {
      onChange(found) {
        if (closed) return;
        const announced = found.map(({ id, address, port, status }) => ({
          id,
          address,
          port,
          passing: status === 'passing',
        }));
        take(announced, 'consul');
        void lastKnown.write(service, announced);
      },
      onHealthy() {
        clearTimeout(impatience);
        staleSinceMs = null;
      },
      onError(error, retryInMs) {
        if (staleSinceMs === null) log.warn({ err: error }, 'Consul is away; the instances known last stay in use');
        else log.debug({ err: error, retryInMs }, 'Consul is still away');
        staleSinceMs ??= Date.now();
        if (source === 'nowhere') void startFromDisk();
      },
    },
  );

  return {
    close() {
      closed = true;
      clearTimeout(impatience);
      watch.stop();
    },
    status: () => ({
      service,
      source,
      instances: [...instances],
      staleForMs: staleSinceMs === null ? 0 : Math.max(0, Date.now() - staleSinceMs),
      refused: { ...refused },
    }),
  };
}
