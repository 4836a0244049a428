/** What a relay sees of the leases: who holds each part now, undefined when nobody does or the time is over. */
export type SeenLease = { part: number; owner: string | undefined };

export type LeasePlan = {
  /** Free parts to try to take. */
  take: number[];
  /** Parts of ours to give back, so that others can take them. */
  release: number[];
};

/**
 * What one relay does next so that all live relays come to hold equally many parts. Every relay that sees the same
 * members computes the same shares, so nobody takes what another is about to: the parts divided by the members, the
 * first of them, in the order of their ids, one more where that leaves a remainder. Nothing is taken from its owner.
 */
export function planLeases(me: string, members: readonly string[], leases: readonly SeenLease[]): LeasePlan {
  const live = [...new Set([...members, me])].sort();
  const rank = live.indexOf(me);
  const share = Math.floor(leases.length / live.length) + (rank < leases.length % live.length ? 1 : 0);
  const mine = leases.filter(({ owner }) => owner === me).map(({ part }) => part);
  if (mine.length >= share) return { take: [], release: mine.slice(share) };
  const free = leases.filter(({ owner }) => owner === undefined).map(({ part }) => part);
  // Each begins elsewhere, so that relays that start together seldom want the same one.
  const from = Math.floor((free.length * rank) / live.length);
  const turned = [...free.slice(from), ...free.slice(0, from)];
  return { take: turned.slice(0, share - mine.length), release: [] };
}
