import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { watchService } from '@strangler/platform/consul/watch.ts';
import type { Log } from '@strangler/platform/log.ts';

/** Where instances of the catalogue service answer HTTP. */
export type Instances = {
  /** Their origins, another one first each time; empty while none is known. Waits a moment for the first to be known. */
  inTurn(): Promise<string[]>;
  stop(): Promise<void>;
};

/** How long the first call of all waits for what Consul says. */
const FIRST_WAIT_MS = 2_000;

export function fixedInstance(url: string): Instances {
  const { origin } = new URL(url);
  return { inTurn: async () => [origin], stop: async () => {} };
}

/** The passing instances that Consul knows under this name. What it said last is kept while it is away. */
export function discoveredInstances({
  consul,
  service,
  log,
}: {
  consul: ConsulClient;
  service: string;
  log: Log;
}): Instances {
  let known: string[] = [];
  let turn = 0;
  const watch = watchService(consul, service, {
    onChange: (instances) => {
      known = instances.map(({ address, port }) => `http://${address}:${port}`);
    },
    onError: (error) => log.warn({ err: error, service }, 'Consul does not tell where the catalogue service is'),
  });
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
