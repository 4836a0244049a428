import type { CountedReads } from './count-reads.ts';
import { addBoth, type BothSides, noneOfBoth } from './side-figures.ts';

/** What all workers of this proxy have counted of one slice, under one flag document. */
export type Collected = { changeId: string; recent: BothSides; since: BothSides };

export type Collector = {
  /** What a worker has counted since it last said something. */
  take(reads: readonly CountedReads[]): void;
  /** Slices of which a worker has spoken within the last seconds: those at stage `canary`. */
  slices(): string[];
  of(slice: string): Collected | null;
};

type Slice = {
  changeId: string;
  changeAt: string;
  heardAtMs: number;
  since: BothSides;
  parts: { atMs: number; figures: BothSides }[];
};

/** The span of the recent figures. */
export const recentMs = 10_000;
const silentAfterMs = 3_000;

/** Sums what the workers say. What it keeps is bounded by the workers and by `recentMs`. */
export const createCollector = (nowMs: () => number = () => performance.now()): Collector => {
  const slices = new Map<string, Slice>();

  return {
    take(reads) {
      const now = nowMs();
      for (const { slice, changeId, changeAt, figures } of reads) {
        let known = slices.get(slice);
        // A worker that has not heard of the newest document yet speaks of one that is over.
        if (known !== undefined && changeAt < known.changeAt) continue;
        if (known?.changeId !== changeId) {
          known = { changeId, changeAt, heardAtMs: now, since: noneOfBoth(), parts: [] };
          slices.set(slice, known);
        }
        known.heardAtMs = now;
        addBoth(known.since, figures);
        known.parts.push({ atMs: now, figures });
      }
    },
    slices() {
      const now = nowMs();
      for (const [slice, { heardAtMs }] of slices) if (now - heardAtMs > silentAfterMs) slices.delete(slice);
      return [...slices.keys()];
    },
    of(slice) {
      const known = slices.get(slice);
      if (known === undefined) return null;
      const fromMs = nowMs() - recentMs;
      known.parts = known.parts.filter(({ atMs }) => atMs > fromMs);
      const recent = noneOfBoth();
      for (const { figures } of known.parts) addBoth(recent, figures);
      return { changeId: known.changeId, recent, since: known.since };
    },
  };
};
