import type { DiscoveredInstance, Discovery, DiscoveryStatus } from './discovery.ts';

/**
 * Instances that the operator wrote down, where there is no Consul. They are the operator's own words, like the monolith's
 * origin, so host names and public addresses are taken as they are. They never change.
 */
export function staticDiscovery(services: ReadonlyMap<string, readonly DiscoveredInstance[]>): Discovery {
  const watched: string[] = [];
  const known = (service: string) => [...(services.get(service) ?? [])];
  return {
    watch(service, onInstances) {
      watched.push(service);
      onInstances(known(service));
      return {
        close() {
          const at = watched.indexOf(service);
          if (at !== -1) watched.splice(at, 1);
        },
      };
    },
    status: () =>
      watched.map(
        (service): DiscoveryStatus => ({
          service,
          source: 'configuration',
          instances: known(service),
          staleForMs: 0,
          refused: { outsideAllowedNetworks: 0, badAddress: 0 },
        }),
      ),
  };
}

/**
 * Reads `catalog=http://127.0.0.1:3101,http://127.0.0.1:3102; orders=http://127.0.0.1:3401`. Throws RangeError that names
 * everything wrong with it at once.
 */
export function parseStaticInstances(text: string): Map<string, DiscoveredInstance[]> {
  const services = new Map<string, DiscoveredInstance[]>();
  const problems: string[] = [];
  for (const entry of text.split(/[;\s]+(?=[^=,;\s]+=)|;/)) {
    if (entry.trim() === '') continue;
    const separator = entry.indexOf('=');
    const service = entry.slice(0, separator).trim();
    if (separator === -1 || service === '') {
      problems.push(`expected service=origin,origin, found "${entry.trim()}"`);
      continue;
    }
    if (services.has(service)) problems.push(`${service} is named twice`);
    const instances: DiscoveredInstance[] = [];
    for (const written of entry.slice(separator + 1).split(',')) {
      const origin = originOf(written.trim());
      if (origin === undefined) {
        problems.push(`${service}: expected an origin such as http://127.0.0.1:3101, found "${written.trim()}"`);
      } else if (instances.some(({ id }) => id === origin)) {
        problems.push(`${service}: ${origin} stands there twice`);
      } else {
        instances.push({ id: origin, origin, passing: true });
      }
    }
    services.set(service, instances);
  }
  if (problems.length > 0) throw new RangeError(`Static instances: ${problems.join('; ')}`);
  return services;
}

function originOf(text: string): string | undefined {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  const bare =
    url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' && url.password === '';
  return bare ? url.origin : undefined;
}
