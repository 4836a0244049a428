import type { FlagDocument } from '../contracts/flag-document.ts';
import type { ProxyStatus } from '../contracts/proxy-status.ts';

/** Instances of a slice's service that every worker would send requests to now, and all that one of them knows. */
export type Instances = { healthy: number; known: number };

/** Answers of both sides in the last minute, over all proxies; `dropped` by why. */
export type ShadowOfMinute = { compared: number; different: number; dropped: Record<string, number> };

const workersOf = (proxies: readonly ProxyStatus[]) => proxies.flatMap((proxy) => proxy.workers);

/** Workers of all proxies that obey the flag document as it stands, and how many there are. */
export const obeyedBy = (proxies: readonly ProxyStatus[], document: FlagDocument): { obeying: number; all: number } => {
  const workers = workersOf(proxies);
  const obeys = ({ flags }: (typeof workers)[number]): boolean =>
    flags.some((flag) => flag.slice === document.slice && flag.changeId === document.change.id);
  return { obeying: workers.filter(obeys).length, all: workers.length };
};

/** Null where no proxy knows the slice's service. */
export const instancesOf = (proxies: readonly ProxyStatus[], slice: string): Instances | null => {
  const service = proxies.flatMap((proxy) => proxy.slices).find((one) => one.slice === slice)?.service;
  if (service === undefined) return null;
  const seen = new Map<string, boolean>();
  for (const { upstreams } of workersOf(proxies)) {
    for (const { id, state } of upstreams.find((upstream) => upstream.name === service)?.instances ?? []) {
      // Healthy is what every worker calls healthy: one that has ejected the instance sends nothing there.
      seen.set(id, (seen.get(id) ?? true) && state === 'healthy');
    }
  }
  return { healthy: [...seen.values()].filter(Boolean).length, known: seen.size };
};

/** Null where no proxy compares the slice's answers. */
export const shadowOf = (proxies: readonly ProxyStatus[], slice: string): ShadowOfMinute | null => {
  const minutes = workersOf(proxies).flatMap(({ shadow }) => shadow?.filter((one) => one.slice === slice) ?? []);
  if (minutes.length === 0) return null;
  const dropped: Record<string, number> = {};
  for (const minute of minutes) {
    for (const [why, count] of Object.entries(minute.dropped)) dropped[why] = (dropped[why] ?? 0) + count;
  }
  return {
    compared: minutes.reduce((sum, { outcomes }) => sum + sumOf(outcomes), 0),
    different: minutes.reduce((sum, { outcomes }) => sum + (outcomes.different ?? 0), 0),
    dropped,
  };
};

const sumOf = (counts: Record<string, number>): number => Object.values(counts).reduce((sum, one) => sum + one, 0);
