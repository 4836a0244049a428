import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What happened to a change, as it is counted. */
export type ChangeOutcome = 'applied' | 'duplicate' | 'parked' | 'refused';

/** What an applier counts of itself; tables are those of the slice file, so labels are bounded. */
export type ApplyMetrics = {
  changes(table: string, outcome: ChangeOutcome, count: number): void;
  batch(rows: number, seconds: number): void;
  /** A transaction was begun anew. */
  retry(cause: string): void;
  parked(table: string, waiting: number): void;
  /** From the writer's statement to the commit here. */
  lag(seconds: number): void;
};

/** Without a registry nothing is counted. */
export function createApplyMetrics(registry: Registry | undefined): ApplyMetrics {
  if (registry === undefined) {
    const nothing = () => {};
    return { changes: nothing, batch: nothing, retry: nothing, parked: nothing, lag: nothing };
  }
  // An applier that is begun anew counts on.
  const kept = <M>(name: string): M | undefined => registry.getSingleMetric(name) as M | undefined;
  const changes =
    kept<Counter>('strangler_apply_changes_total') ??
    new Counter({
      name: 'strangler_apply_changes_total',
      help: 'Changes of rows that came to the target, by what became of them.',
      labelNames: ['table', 'outcome'],
      registers: [registry],
    });
  const batch =
    kept<Histogram>('strangler_apply_batch_seconds') ??
    new Histogram({
      name: 'strangler_apply_batch_seconds',
      help: 'Time from the begin to the commit of one batch.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [registry],
    });
  const rows =
    kept<Counter>('strangler_apply_batch_rows_total') ??
    new Counter({
      name: 'strangler_apply_batch_rows_total',
      help: 'Changes that batches consisted of.',
      registers: [registry],
    });
  const retries =
    kept<Counter>('strangler_apply_retries_total') ??
    new Counter({
      name: 'strangler_apply_retries_total',
      help: 'Batches begun anew, by cause.',
      labelNames: ['cause'],
      registers: [registry],
    });
  const parked =
    kept<Gauge>('strangler_parked_changes') ??
    new Gauge({
      name: 'strangler_parked_changes',
      help: 'Changes that wait for another row to give up a unique value.',
      labelNames: ['table'],
      registers: [registry],
    });
  const lag =
    kept<Histogram>('strangler_apply_lag_seconds') ??
    new Histogram({
      name: 'strangler_apply_lag_seconds',
      help: "Time from a writer's statement to the commit of its change in the target, of each batch's newest change.",
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
      registers: [registry],
    });
  return {
    changes: (table, outcome, count) => count > 0 && changes.inc({ table, outcome }, count),
    batch: (count, seconds) => {
      rows.inc(count);
      batch.observe(seconds);
    },
    retry: (cause) => retries.inc({ cause }),
    parked: (table, waiting) => parked.set({ table }, waiting),
    lag: (seconds) => lag.observe(Math.max(0, seconds)),
  };
}
