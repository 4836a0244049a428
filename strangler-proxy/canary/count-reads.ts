import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { Account, Finished } from '../account/account.ts';
import type { Side } from '../decide/decision.ts';
import { bucketOfLatency } from './latency.ts';
import { type BothSides, noneOfBoth, type SideFigures } from './side-figures.ts';

/** Reads of one slice that were decided under one flag document. */
export type CountedReads = { slice: string; changeId: string; changeAt: string; figures: BothSides };

export type ReadCounter = Account & {
  /** What was counted since it was last asked, of each slice at stage `canary`, also where that is nothing. */
  take(): CountedReads[];
  /** A read of the slice was compared that had been decided under this document. */
  compared(slice: string, changeId: string | null, outcome: 'fine' | 'different'): void;
};

/**
 * Counts reads of slices at stage `canary`, by the side that was asked. Reads that a cohort, an operator or the user's own write
 * sent somewhere are left out: those are other users than the rest, and would not compare. A read counts for the document
 * that it was decided under, so that what is still under way after a step is not held against the new percentage.
 */
export const createReadCounter = (
  slices: readonly string[],
  flagOf: (slice: string) => FlagDocument | undefined,
): ReadCounter => {
  const counted = new Map<string, CountedReads>();

  const countOf = (slice: string): CountedReads | null => {
    const flag = flagOf(slice);
    if (flag?.stage !== 'canary') return null;
    let reads = counted.get(slice);
    if (reads?.changeId !== flag.change.id) {
      reads = { slice, changeId: flag.change.id, changeAt: flag.change.at, figures: noneOfBoth() };
      counted.set(slice, reads);
    }
    return reads;
  };

  return {
    finished(request) {
      const { decision, protocol } = request;
      if (decision === null || decision.slice === null || decision.access === 'write' || protocol !== 'http') return;
      if (decision.reason !== 'percentage' && decision.reason !== 'all-service' && decision.reason !== 'all-monolith')
        return;
      const reads = countOf(decision.slice);
      if (reads === null || reads.changeId !== decision.changeId) return;
      count(reads.figures.monolith, 'monolith', request);
      count(reads.figures.service, 'service', request);
    },
    compared(slice, changeId, outcome) {
      const reads = countOf(slice);
      if (reads === null || reads.changeId !== changeId) return;
      reads.figures.mismatches.compared += 1;
      if (outcome === 'different') reads.figures.mismatches.different += 1;
    },
    take() {
      const taken = slices.flatMap((slice) => countOf(slice) ?? []);
      counted.clear();
      return taken;
    },
  };
};

/** Once a side, however often it was asked; an error where it failed once, though the client may not have seen it. */
const count = (figures: SideFigures, side: Side, { decision, attempts, outcome }: Finished): void => {
  let asked = false;
  let failed = false;
  let latencyMs: number | null = null;
  for (const { instance, result } of attempts) {
    if (instance.side !== side) continue;
    if (result.kind === 'answered') {
      asked = true;
      if (result.status >= 500) failed = true;
      else latencyMs = result.latencyMs;
    } else if (result.kind === 'failed' && result.error.startsWith('upstream-')) {
      asked = true;
      failed = true;
    }
  }
  // Nobody there to ask leaves no attempt: the other side answered, or the proxy did.
  if (
    decision!.side === side &&
    (outcome.kind === 'no-instance' || (attempts.length > 0 && attempts[0]!.instance.side !== side))
  ) {
    asked = true;
    failed = true;
  }
  if (!asked) return;
  figures.requests += 1;
  if (failed) figures.errors += 1;
  else if (latencyMs !== null) figures.latency[bucketOfLatency(latencyMs)]! += 1;
};
