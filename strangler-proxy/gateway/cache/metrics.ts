import { Counter, Gauge, type Registry } from 'prom-client';
import type { Bypass } from './bypass.ts';
import type { CacheOutcome } from './cache-status.ts';
import type { NotStored } from './storable.ts';
import type { PutOutcome } from './store.ts';

/** Routes come from the gateway file and all else from closed sets, so the number of series has a bound. */
export type CacheMetrics = {
  served(route: string, outcome: CacheOutcome): void;
  bypassed(route: string, why: Bypass): void;
  notStored(route: string, why: NotStored): void;
  put(route: string, outcome: PutOutcome): void;
  askedBeside(route: string, outcome: 'answered' | 'failed'): void;
  waiting(change: 1 | -1): void;
};

export function createCacheMetrics(registry: Registry): CacheMetrics {
  const counter = <L extends string>(name: string, help: string, labelNames: L[]): Counter<L> =>
    new Counter({ name, help, labelNames, registers: [registry] });
  const served = counter(
    'strangler_cache_requests_total',
    'Requests on routes that have a cache, by how they met it; `away`: Redis gave no answer, or is owed a change.',
    ['route', 'outcome'],
  );
  const bypassed = counter('strangler_cache_bypassed_total', 'Requests that the cache has no part in, by why.', [
    'route',
    'why',
  ]);
  const notStored = counter('strangler_cache_not_stored_total', 'Answers that were not kept, by why.', [
    'route',
    'why',
  ]);
  const put = counter(
    'strangler_cache_puts_total',
    'Answers given to Redis; `outdated`: what they stand on changed while they were asked for.',
    ['route', 'outcome'],
  );
  const beside = counter(
    'strangler_cache_revalidations_beside_total',
    'Questions to an origin that no client waited for.',
    ['route', 'outcome'],
  );
  const waiting = new Gauge({
    name: 'strangler_cache_waiting',
    help: 'Requests that wait for another one that asks the same.',
    registers: [registry],
  });
  return {
    served: (route, outcome) => served.inc({ route, outcome }),
    bypassed: (route, why) => bypassed.inc({ route, why }),
    notStored: (route, why) => notStored.inc({ route, why }),
    put: (route, outcome) => put.inc({ route, outcome }),
    askedBeside: (route, outcome) => beside.inc({ route, outcome }),
    waiting: (change) => waiting.inc(change),
  };
}

/** What is counted of messages about changes; `listening`: whether they are being taken. */
export function createChangeMetrics(registry: Registry, listening: () => boolean): { changed(name: string): void } {
  const told = new Counter({
    name: 'strangler_cache_changes_total',
    help: 'Messages that made answers untrue, by table or aggregate.',
    labelNames: ['change'],
    registers: [registry],
  });
  new Gauge({
    name: 'strangler_cache_listening',
    help: '1 while changes are listened for.',
    registers: [registry],
    collect() {
      this.set(listening() ? 1 : 0);
    },
  });
  return { changed: (change) => told.inc({ change }) };
}
