import type { ConsulClient } from '../consul/client.ts';
import { usableInstances } from '../consul/usable-instances.ts';
import { type ServiceInstance, watchService } from '../consul/watch.ts';
import type { Log } from '../log.ts';

/** Where the instances of a service answer gRPC. */
export type GrpcInstances = {
  /** Their `host:port` as they are known now, without one twice. */
  now(): readonly string[];
  /** Settles when they were told for the first time, or at the bound of the first wait. */
  first: Promise<void>;
  stop(): Promise<void>;
};

/** How long callers wait for what Consul says for the first time. */
const firstWaitMs = 2_000;

export function fixedGrpcInstances(addresses: readonly string[]): GrpcInstances {
  return { now: () => addresses, first: Promise.resolve(), stop: async () => {} };
}

/** Where usable instances answer gRPC, without one twice; what was known `before` where Consul says that there are none. */
export function addressesOf(
  instances: readonly ServiceInstance[],
  before: readonly string[],
  onPortless: (instance: ServiceInstance) => void,
): readonly string[] {
  if (instances.length === 0) return before;
  const found = usableInstances(instances).flatMap((instance) => {
    const port = Number(instance.meta.grpc_port);
    if (Number.isInteger(port) && port > 0 && port < 65_536) return [`${instance.address}:${port}`];
    onPortless(instance);
    return [];
  });
  return [...new Set(found)];
}

/**
 * The usable instances that Consul knows under this name and that have told their gRPC port in the meta `grpc_port`. What it
 * said last is kept while it is away, and while it says that there is none.
 */
export function discoveredGrpcInstances({
  consul,
  service,
  log,
}: {
  consul: ConsulClient;
  service: string;
  log: Log;
}): GrpcInstances {
  let known: readonly string[] = [];
  const watch = watchService(
    consul,
    { service, include: 'all' },
    {
      onChange: (instances) => {
        known = addressesOf(instances, known, ({ id, meta }) =>
          log.warn(
            { service, id, found: meta.grpc_port },
            'an instance is left out: expected a port in its meta grpc_port',
          ),
        );
      },
      onError: (error) => log.warn({ err: error, service }, 'Consul does not tell where a service is'),
    },
  );
  const waited = new AbortController();
  const timer = setTimeout(() => waited.abort(), firstWaitMs);
  const late = new Promise<void>((resolve) => waited.signal.addEventListener('abort', () => resolve(), { once: true }));
  const first = Promise.race([watch.first.then(() => {}), late]).finally(() => clearTimeout(timer));
  return {
    now: () => known,
    first,
    async stop() {
      waited.abort();
      watch.stop();
      await watch.stopped;
    },
  };
}
