/** What is known of one instance when a call is about to be made. */
export type Candidate = {
  /** `host:port`. */
  address: string;
  /** Calls that it has not answered yet. */
  outstanding: number;
  /** Until then it is believed to be away; 0 where nothing speaks against it. A time of `performance.now()`. */
  ejectedUntilMs: number;
};

/**
 * The instance that a call goes to: the one with the fewest calls under way, in turn where several have as few; never one of
 * `tried` while there is another, and one that is believed to be away only where all are. Undefined where there is none at all.
 */
export function pickInstance(
  candidates: readonly Candidate[],
  { turn, nowMs, tried }: { turn: number; nowMs: number; tried: ReadonlySet<string> },
): string | undefined {
  const ranked = candidates.map((candidate, at) => ({
    address: candidate.address,
    rank: [
      tried.has(candidate.address) ? 1 : 0,
      candidate.ejectedUntilMs > nowMs ? 1 : 0,
      candidate.outstanding,
      (at - (turn % candidates.length) + candidates.length) % candidates.length,
    ],
  }));
  return ranked.toSorted((a, b) => byRank(a.rank, b.rank))[0]?.address;
}

function byRank(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at === -1 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}
