import { Counter, Gauge, type Registry } from 'prom-client';
import type { Access, Side } from '../decide/decision.ts';
import type { DropReason, Outcome } from '../shadow/outcome.ts';
import type { ShadowFigures } from '../shadow/shadow.ts';
import type { UpstreamStatus } from '../upstream/upstream.ts';

export type ShadowMetrics = {
  found(slice: string, access: Access, outcome: Outcome): void;
  dropped(slice: string, access: Access, reason: DropReason): void;
  asked(side: Side, result: string): void;
  spent(ms: number): void;
  /** A comparison of which nothing is kept, because there is no Redis to keep it in. */
  notKept(): void;
  defect(): void;
};

/** Counts what is compared, what is not and why, and what it costs. All labels come from closed sets or from the slice files. */
export const createShadowMetrics = (registry: Registry): ShadowMetrics => {
  const registers = [registry];
  const compared = new Counter({
    name: 'strangler_shadow_compared_total',
    help: 'Requests whose two answers were compared, by how that ended.',
    labelNames: ['slice', 'access', 'outcome'],
    registers,
  });
  const dropped = new Counter({
    name: 'strangler_shadow_dropped_total',
    help: 'Requests that were sampled and not compared, by why.',
    labelNames: ['slice', 'access', 'reason'],
    registers,
  });
  const asks = new Counter({
    name: 'strangler_shadow_asks_total',
    help: 'Requests that the proxy sent in order to compare their answers, by side and result.',
    labelNames: ['side', 'result'],
    registers,
  });
  const seconds = new Counter({
    name: 'strangler_shadow_compare_seconds_total',
    help: 'Processor time that decoding and comparing has taken.',
    registers,
  });
  const notKept = new Counter({
    name: 'strangler_shadow_not_kept_total',
    help: 'Comparisons of which nothing is kept, because no REDIS_URL is set.',
    registers,
  });
  const defects = new Counter({
    name: 'strangler_shadow_defects_total',
    help: "Comparisons that ended in a fault of the proxy's own; the log has each.",
    registers,
  });
  // A worker with no time to spare counts one with nearly every request; looking up a series by its labels is dear.
  const droppedSeries = new Map<string, { inc(): void }>();
  return {
    found: (slice, access, outcome) => compared.inc({ slice, access, outcome }),
    dropped(slice, access, reason) {
      const key = `${slice} ${access} ${reason}`;
      let series = droppedSeries.get(key);
      if (series === undefined) {
        series = dropped.labels({ slice, access, reason });
        droppedSeries.set(key, series);
      }
      series.inc();
    },
    asked: (side, result) => asks.inc({ side, result }),
    spent: (ms) => seconds.inc(ms / 1_000),
    notKept: () => notKept.inc(),
    defect: () => defects.inc(),
  };
};

/** What is under way, read when somebody asks for the metrics. */
export const exposeShadow = (
  registry: Registry,
  figures: () => ShadowFigures,
  spareShare: () => number,
  upstreams: () => readonly UpstreamStatus[],
): void => {
  const gauge = (name: string, help: string, aggregator: 'sum' | 'min', figure: () => number): void => {
    new Gauge({
      ...{ name, help, aggregator },
      registers: [registry],
      collect() {
        this.set(figure());
      },
    });
  };
  gauge('strangler_shadow_open', 'Requests under way that are copied.', 'sum', () => figures().open);
  gauge('strangler_shadow_waiting', 'Copies that wait to be asked about.', 'sum', () => figures().waiting);
  gauge('strangler_shadow_rechecks', 'Reads that differed and are being asked again.', 'sum', () => figures().rechecks);
  gauge('strangler_shadow_memory_bytes', 'Bytes of all copies.', 'sum', () => figures().memoryBytes);
  gauge(
    'strangler_shadow_spare_share',
    'Share of the samples for which the worker has the time, 0 to 1.',
    'min',
    spareShare,
  );
  new Gauge({
    name: 'strangler_shadow_circuit_open',
    help: '1 while an upstream is not asked for comparisons because it fails.',
    labelNames: ['upstream'],
    registers: [registry],
    aggregator: 'max',
    collect() {
      this.reset();
      for (const { name, circuit } of upstreams()) this.set({ upstream: name }, circuit === 'closed' ? 0 : 1);
    },
  });
};

/** What the report could not keep, and whether it can be written. */
export const exposeReport = (
  registry: Registry,
  lost: () => Readonly<Record<string, number>>,
  reachable: () => boolean,
): void => {
  new Counter({
    name: 'strangler_shadow_report_lost_total',
    help: 'What the report had no room for, or Redis did not take in time: cell, example, batch.',
    labelNames: ['what'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [what, count] of Object.entries(lost())) this.inc({ what }, count);
    },
  });
  new Gauge({
    name: 'strangler_shadow_report_reachable',
    help: '1 while Redis can be told; with 0 sums wait in memory.',
    registers: [registry],
    aggregator: 'min',
    collect() {
      this.set(reachable() ? 1 : 0);
    },
  });
};
