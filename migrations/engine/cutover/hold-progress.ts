import type { HoldAck, LiveProxy } from '@strangler/platform/contracts/hold-ack.ts';
import type { ProxyStatus } from '@strangler/platform/contracts/proxy-status.ts';

/** A key as Consul has it: its value parsed, and the session that holds it. */
export type Kept<T> = { value: T | null; session: string | null };

/** What Consul tells of the proxies in one look. */
export type ProxiesSeen = {
  /** Proxies that are alive, by id; `value` null where it does not parse. */
  live: ReadonlyMap<string, Kept<LiveProxy>>;
  /** Acknowledgements of the slice's hold, by the proxy's id. */
  acks: ReadonlyMap<string, Kept<HoldAck>>;
  /** Ids of proxies that are registered and not known to be down. */
  registered: readonly string[];
};

/** How far the proxies are with a hold. */
export type HoldProgress = {
  acknowledged: string[];
  /** Alive, and not yet holding. */
  missing: string[];
  /** Registered, and not among the living: it may have lost its session and send writes still. */
  unlisted: string[];
};

/**
 * Whether every proxy holds: each that is alive must have acknowledged this very change under the session by which it is
 * alive, and none may be registered without being alive.
 */
export const holdProgress = ({ live, acks, registered }: ProxiesSeen, changeId: string): HoldProgress => {
  const acknowledged: string[] = [];
  const missing: string[] = [];
  for (const [id, { session }] of live) {
    // A key that no session holds is what a proxy has left behind.
    if (session === null) continue;
    const ack = acks.get(id);
    const isGood = ack !== undefined && ack.session === session && ack.value?.changeId === changeId;
    (isGood ? acknowledged : missing).push(id);
  }
  return { acknowledged, missing, unlisted: unlisted({ live, registered }) };
};

/** Proxies that are registered and not alive by their session. */
export const unlisted = ({ live, registered }: Pick<ProxiesSeen, 'live' | 'registered'>): string[] =>
  registered.filter((id) => (live.get(id)?.session ?? null) === null);

export const isHeldByAll = ({ missing, unlisted }: HoldProgress): boolean =>
  missing.length === 0 && unlisted.length === 0;

/** What a proxy has said of the writes for which it does not hold yet. */
export type StillWriting = { id: string; writes: number; oldest: { route: string; forMs: number } | null };

/** What the workers of the proxies have under way of a slice; of one that does not answer nothing is known. */
export const stillWriting = (
  slice: string,
  asked: readonly { id: string; status: ProxyStatus | null }[],
): StillWriting[] =>
  asked.flatMap(({ id, status }) => {
    const all = (status?.workers ?? []).flatMap(({ writes }) => writes?.filter((one) => one.slice === slice) ?? []);
    const writes = all.flatMap(({ inFlight }) => inFlight).reduce((sum, one) => sum + one.writes, 0);
    const [oldest = null] = all.flatMap((one) => one.oldest ?? []).sort((a, b) => b.forMs - a.forMs);
    return writes === 0 ? [] : [{ id, writes, oldest }];
  });

/** For messages: for what a hold was waited for; the empty text where nobody could say. */
export const stillWritingText = (found: readonly StillWriting[]): string =>
  found
    .map(({ id, writes, oldest }) => {
      const of = `${id} has ${writes} write${writes === 1 ? '' : 's'} under way`;
      return oldest === null ? of : `${of}, ${oldest.route} for ${(oldest.forMs / 1000).toFixed(1)} s`;
    })
    .join('; ');

/** For messages: who keeps a hold from being complete. */
export const holdText = ({ missing, unlisted }: HoldProgress): string => {
  const parts: string[] = [];
  if (missing.length > 0) parts.push(`${missing.join(', ')} did not say in time that it holds`);
  if (unlisted.length > 0) parts.push(`${unlisted.join(', ')} is registered and has no live session`);
  return parts.join('; ');
};
