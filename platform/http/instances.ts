import type { ConsulClient } from '../consul/client.ts';
import { usableInstances } from '../consul/usable-instances.ts';
import { watchService } from '../consul/watch.ts';
import type { Log } from '../log.ts';

/** Where instances of a service answer HTTP. */
export type HttpInstances = {
  /** Their origins, another one first each time; empty while none is known. Waits a moment for the first to be known. */
  inTurn(): Promise<string[]>;
  stop(): Promise<void>;
};

/** How long the first call of all waits for what Consul says. */
const FIRST_WAIT_MS = 2_000;

export function fixedHttpInstance(url: string): HttpInstances {
  const { origin } = new URL(url);
  return { inTurn: async () => [origin], stop: async () => {} };
}

/** The usable instances that Consul knows under this name. What it said last is kept while it is away. */
export function discoveredHttpInstances({
  consul,
  service,
  log,
}: {
  consul: ConsulClient;
  service: string;
  log: Log;
}): HttpInstances {
  let known: string[] = [];
  let turn = 0;
  const watch = watchService(
    consul,
    { service, include: 'all' },
    {
      onChange: (instances) => {
        known = usableInstances(instances).map(({ address, port }) => `http://${address}:${port}`);
      },
      onError: (error) => log.warn({ err: error, service }, 'Consul does not tell where a service is'),
    },
  );
  const { promise: waited, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, FIRST_WAIT_MS);
  void watch.first.then(() => {
    clearTimeout(timer);
    resolve();
  });
  return {
    async inTurn() {
      if (known.length === 0) await waited;
      turn += 1;
      const first = known.length === 0 ? 0 : turn % known.length;
      return [...known.slice(first), ...known.slice(0, first)];
    },
    async stop() {
      clearTimeout(timer);
      resolve();
      watch.stop();
      await watch.stopped;
    },
  };
}
