import { createNoise, type NoiseSnapshot } from '@strangler/platform/compare/noise.ts';

/** What this worker and all others have learnt of what differs between two answers of the monolith. */
export type SharedNoise = {
  learn(endpoint: string, differing: readonly string[]): void;
  compared(endpoint: string, differing: readonly string[]): void;
  isNoise(endpoint: string, path: string): boolean;
  /** This worker's own counts, for the others. */
  own(): NoiseSnapshot;
  /** Goes on from what an earlier life of this worker has counted. */
  resume(earlier: NoiseSnapshot): void;
  /** What the others have counted, as of now. */
  hear(others: readonly NoiseSnapshot[]): void;
};

/** A verdict is exact arithmetic over all counts; a new one a second is enough. */
const verdictHoldsMs = 1_000;
const mostVerdicts = 10_000;

/**
 * Counts are kept apart by who counted them and added up anew whenever the others are heard, so nothing is counted twice;
 * what this worker counts in between is in its view at once.
 */
export const createSharedNoise = (nowMs: () => number = () => performance.now()): SharedNoise => {
  const own = createNoise();
  let all = createNoise();
  const verdicts = new Map<string, { noise: boolean; untilMs: number }>();

  return {
    learn(endpoint, differing) {
      own.learn(endpoint, differing);
      all.learn(endpoint, differing);
    },
    compared(endpoint, differing) {
      own.compared(endpoint, differing);
      all.compared(endpoint, differing);
    },
    isNoise(endpoint, path) {
      const key = `${endpoint} ${path}`;
      const known = verdicts.get(key);
      if (known !== undefined && known.untilMs > nowMs()) return known.noise;
      const { noise } = all.verdict(endpoint, path);
      if (verdicts.size >= mostVerdicts) verdicts.clear();
      verdicts.set(key, { noise, untilMs: nowMs() + verdictHoldsMs });
      return noise;
    },
    own: own.snapshot,
    resume(earlier) {
      own.merge(earlier);
      all.merge(earlier);
    },
    hear(others) {
      all = createNoise();
      all.merge(own.snapshot());
      for (const one of others) all.merge(one);
      verdicts.clear();
    },
  };
};
