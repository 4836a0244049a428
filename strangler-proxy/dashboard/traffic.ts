import type { ProxyStatus } from '@strangler/platform/contracts/proxy-status.ts';

/** Requests of a slice per second, by the side that was asked last. */
export type TrafficRates = {
  reads: { monolith: number; service: number; failed: number };
  writes: { monolith: number; service: number; failed: number };
};

/** What all proxies together did between two looks. */
export type TrafficPoint = { at: string; slices: Record<string, TrafficRates> };

/** What every worker had counted at one look; `worker` names the process, which counts from 0. */
export type TrafficLook = { atMs: number; counts: { worker: string; slice: string; rates: TrafficRates }[] };

export const lookAtTraffic = (proxies: readonly ProxyStatus[], atMs: number): TrafficLook => ({
  atMs,
  counts: proxies.flatMap(({ id, workers }) =>
    workers.flatMap(({ pid, traffic }) =>
      (traffic ?? []).map(({ slice, reads, writes }) => ({ worker: `${id}/${pid}`, slice, rates: { reads, writes } })),
    ),
  ),
});

const kinds = ['reads', 'writes'] as const;
const fields = ['monolith', 'service', 'failed'] as const;

const none = (): TrafficRates => ({
  reads: { monolith: 0, service: 0, failed: 0 },
  writes: { monolith: 0, service: 0, failed: 0 },
});

/**
 * Rates between two looks; null where no time has passed. A worker that was not seen before says nothing of the time
 * between, because it may have counted for long.
 */
export const trafficBetween = (before: TrafficLook, after: TrafficLook): TrafficPoint | null => {
  const seconds = (after.atMs - before.atMs) / 1000;
  if (seconds <= 0) return null;
  const known = new Map(before.counts.map(({ worker, slice, rates }) => [`${worker} ${slice}`, rates]));
  const slices: Record<string, TrafficRates> = {};
  for (const { worker, slice, rates } of after.counts) {
    slices[slice] ??= none();
    const earlier = known.get(`${worker} ${slice}`);
    if (earlier === undefined) continue;
    for (const kind of kinds) {
      for (const field of fields) {
        slices[slice][kind][field] += Math.max(0, rates[kind][field] - earlier[kind][field]) / seconds;
      }
    }
  }
  for (const rates of Object.values(slices)) {
    for (const kind of kinds) for (const field of fields) rates[kind][field] = Math.round(rates[kind][field] * 10) / 10;
  }
  return { at: new Date(after.atMs).toISOString(), slices };
};
