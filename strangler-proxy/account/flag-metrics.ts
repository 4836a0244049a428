import type { FlagFollower } from '@strangler/platform/flags/flag-follower.ts';
import type { FlagEvent } from '@strangler/platform/flags/merge-listing.ts';
import { Counter, Gauge, type Registry } from 'prom-client';

/** Counts changes and refusals of flags, and whether the store answers. */
export const createFlagAccount = (
  registry: Registry,
): { onEvent(event: FlagEvent): void; onReachable(reachable: boolean): void } => {
  const events = new Counter({
    name: 'strangler_flag_events_total',
    help: 'Flag documents put in force or refused, by slice.',
    labelNames: ['slice', 'event'],
    registers: [registry],
  });
  const reachable = new Gauge({
    name: 'strangler_flag_store_reachable',
    help: '1 while the flag store answers; with 0 the last known flags are in force.',
    registers: [registry],
    aggregator: 'min',
  });
  reachable.set(1);
  return {
    onEvent: ({ slice, kind }) => events.inc({ slice, event: kind }),
    onReachable: (now) => reachable.set(now ? 1 : 0),
  };
};

/** The flags in force, read when somebody asks for the metrics. */
export const exposeFlags = (registry: Registry, follower: FlagFollower): void => {
  const expose = (name: string, help: string, figureOf: (slice: string) => number): void => {
    new Gauge({
      name,
      help,
      labelNames: ['slice'],
      registers: [registry],
      aggregator: 'min',
      collect() {
        this.reset();
        for (const slice of follower.inForce().keys()) this.set({ slice }, figureOf(slice));
      },
    });
  };
  expose(
    'strangler_flag_reads_percent',
    'Share of users whose reads the service answers, in percent.',
    (slice) => follower.flagOf(slice)?.reads.percent ?? 0,
  );
  expose(
    'strangler_flag_epoch',
    "Epoch of the owner of the slice's writes.",
    (slice) => follower.flagOf(slice)?.epoch ?? 0,
  );
};
