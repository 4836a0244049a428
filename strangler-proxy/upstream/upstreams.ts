import type { Discovery } from '../discovery/discovery.ts';
import { monolithPolicy, servicePolicy, type UpstreamPolicy } from './policy.ts';
import { createPool, type Pool, type PoolOptions } from './pool.ts';
import type { UpstreamEvent, UpstreamStatus, Upstreams } from './upstream.ts';

export type UpstreamsOptions = {
  /** `http://127.0.0.1:3000`; several where several instances of the monolith run. */
  monolithOrigins: readonly string[];
  discovery: Discovery;
  /** Called for each thing that happens; must not throw. */
  onEvent: (event: UpstreamEvent) => void;
  policies?: { monolith?: UpstreamPolicy; service?: UpstreamPolicy };
  nowMs?: () => number;
  random?: () => number;
};

export type RunningUpstreams = Upstreams & {
  /** The services to watch from now on: those of the slices. One that is no longer named is closed. */
  follow(services: Iterable<string>): void;
  /** The monolith first, then the services by name. */
  status(): UpstreamStatus[];
  close(): void;
};

/** Keeps a pool for the monolith and for each service that is followed. Throws RangeError when no monolith origin is given. */
export function createUpstreams(options: UpstreamsOptions): RunningUpstreams {
  const { monolithOrigins, discovery, onEvent } = options;
  const { nowMs = () => performance.now(), random = Math.random } = options;
  if (monolithOrigins.length === 0) throw new RangeError('At least one origin of the monolith is needed');

  const build = (name: string, side: PoolOptions['side'], policy: UpstreamPolicy): Pool =>
    createPool({ name, side, policy, onEvent, nowMs, random });
  const monolith = build('monolith', 'monolith', options.policies?.monolith ?? monolithPolicy);
  monolith.setInstances(monolithOrigins.map((origin) => ({ id: origin, origin, passing: true })));
  const services = new Map<string, { pool: Pool; stop(): void }>();

  function start(service: string): void {
    const pool = build(service, 'service', options.policies?.service ?? servicePolicy);
    const watch = discovery.watch(service, (instances) => pool.setInstances(instances));
    services.set(service, {
      pool,
      stop() {
        watch.close();
        pool.close();
      },
    });
  }

  function follow(names: Iterable<string>): void {
    const wanted = new Set(names);
    for (const [name, { stop }] of services) {
      if (wanted.has(name)) continue;
      stop();
      services.delete(name);
    }
    for (const name of wanted) if (!services.has(name)) start(name);
  }

  return {
    monolith: () => monolith,
    service: (name) => services.get(name)?.pool,
    follow,
    status: () => [
      monolith.status(),
      ...[...services.values()].map(({ pool }) => pool.status()).sort((a, b) => (a.name < b.name ? -1 : 1)),
    ],
    close() {
      follow([]);
      monolith.close();
    },
  };
}
