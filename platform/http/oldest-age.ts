import { Gauge, type Registry } from 'prom-client';
import type { Log } from '../log.ts';

/**
 * Registers a gauge of how old, in seconds, the oldest of what is open is: 0 where nothing is. Looked up whenever the metrics are
 * asked for; where that fails the gauge keeps its last value, and the other metrics are told all the same.
 */
export function watchOldest({
  name,
  help,
  oldest,
  clock,
  log,
  metrics,
}: {
  /** Ends in `_age_seconds`. */
  name: string;
  help: string;
  /** When the oldest came to be open; null where nothing is. */
  oldest(): Promise<Date | null>;
  clock: { now(): Date };
  log: Log;
  metrics: Registry;
}): void {
  new Gauge({
    name,
    help: `${help}; 0 where there is none`,
    registers: [metrics],
    async collect() {
      try {
        const since = await oldest();
        this.set(since === null ? 0 : Math.max(0, clock.now().getTime() - since.getTime()) / 1000);
      } catch (error) {
        log.warn({ err: error, metric: name }, 'the oldest could not be looked up');
      }
    },
  });
}
