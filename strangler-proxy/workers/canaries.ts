import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import type { Log } from '@strangler/platform/log.ts';
import { Registry } from 'prom-client';
import { createCanaryMetrics, exposeCanaries } from '../account/canary-metrics.ts';
import { createCollector } from '../canary/collect.ts';
import type { CountedReads } from '../canary/count-reads.ts';
import { type SeenCanary, startSteering } from '../canary/steer.ts';
import type { Holds } from './holds.ts';

export type CanariesOptions = {
  id: string;
  slices: readonly Slice[];
  /** How Consul knows this proxy; null where flags are not in Consul. */
  member: Holds['member'];
  log: Log;
};

/** The primary's part in canaries: what the workers have counted, and what is done about it. */
export type Canaries = {
  take(reads: readonly CountedReads[]): void;
  seen(): SeenCanary[];
  metrics(): Promise<string>;
  stop(): Promise<void>;
};

export const followCanaries = ({ id, slices, member, log }: CanariesOptions): Canaries => {
  const registry = new Registry();
  registry.setDefaultLabels({ service: 'strangler-proxy' });
  const collector = createCollector();
  const account = createCanaryMetrics(registry);
  const steering =
    member === null
      ? null
      : startSteering({
          ...member,
          id,
          collector,
          boundsOf: (slice) => slices.find((one) => one.slice === slice)?.gates.canary,
          account,
          log,
        });
  const seen = (): SeenCanary[] => steering?.seen() ?? [];
  exposeCanaries(registry, seen);
  let said = false;

  return {
    take(reads) {
      collector.take(reads);
      if (steering !== null || said || reads.length === 0) return;
      said = true;
      log.warn(
        { slices: reads.map(({ slice }) => slice) },
        'a canary is not steered, because flags are not in Consul: its percentage is changed by hand only',
      );
    },
    seen,
    metrics: () => registry.metrics(),
    stop: async () => steering?.stop(),
  };
};
