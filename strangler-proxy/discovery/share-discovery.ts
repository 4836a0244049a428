import type { DiscoveredInstance, Discovery, Watch } from './discovery.ts';

/** Lets several watch the same service with one watch at the source; each hears of all instances, as if it were alone. */
export const shareDiscovery = (source: Discovery): Discovery => {
  type Shared = {
    watch: Watch;
    listeners: Set<(instances: DiscoveredInstance[]) => void>;
    last: DiscoveredInstance[] | null;
  };
  const services = new Map<string, Shared>();
  return {
    watch(service, onInstances) {
      let shared = services.get(service);
      if (shared === undefined) {
        const listeners: Shared['listeners'] = new Set([onInstances]);
        const made: Shared = { watch: { close() {} }, listeners, last: null };
        services.set(service, made);
        made.watch = source.watch(service, (instances) => {
          made.last = instances;
          for (const listener of listeners) listener(instances);
        });
        shared = made;
      } else {
        shared.listeners.add(onInstances);
        if (shared.last !== null) onInstances(shared.last);
      }
      const { listeners, watch } = shared;
      return {
        close() {
          if (!listeners.delete(onInstances) || listeners.size > 0) return;
          services.delete(service);
          watch.close();
        },
      };
    },
    status: source.status,
  };
};
