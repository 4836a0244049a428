import { shareBounds } from './binomial.ts';

/**
 * What differs between two answers of the monolith to the same request is noise, and no fault of the service's, as long as
 * it differs between the two sides about as often.
 *
 * The test. Let `a` be the share of A/A pairs (two answers of the monolith) in which a path differs, `b` the share of
 * comparisons of both sides. A path is called noise when an upper bound of `b` is at most `maxRatio` times a lower bound of
 * `a`, both bounds exact (Clopper–Pearson), each at `alpha / 2`. So where the service in truth makes a path differ more than
 * `maxRatio` times as often as the monolith does by itself, one look calls it noise with a probability of at most `alpha`
 * (union bound; no assumption but that pairs are independent). A path that never differs between answers of the monolith
 * has the lower bound 0 and is never noise. What the test gives up: a fault that shows in a field which differs anyway, and
 * makes it differ at most `maxRatio` times as often, is not seen there.
 */
export type NoiseBounds = {
  alpha: number;
  maxRatio: number;
  /** A/A pairs, and comparisons, without which nothing is called noise. */
  leastPairs: number;
  /** When either count of an endpoint has grown so large, all its counts are halved: what was true long ago fades. */
  window: number;
  maxEndpoints: number;
  maxPathsPerEndpoint: number;
};

export const defaultNoiseBounds: NoiseBounds = {
  alpha: 0.001,
  maxRatio: 2,
  leastPairs: 12,
  window: 4_096,
  maxEndpoints: 500,
  maxPathsPerEndpoint: 200,
};

export type NoiseVerdict = {
  noise: boolean;
  /** In words, with the figures. */
  why: string;
};

/** Counts that can be added up over workers: JSON. */
export type NoiseSnapshot = {
  endpoints: Record<
    string,
    { pairs: number; compared: number; paths: Record<string, { inPairs: number; inCompared: number }> }
  >;
};

export type Noise = {
  /** Two answers of the monolith were compared; `differing` are the templated paths of their differences. */
  learn(endpoint: string, differing: readonly string[]): void;
  /** An answer of the monolith's was compared with the service's; what was noise is in `differing` too. */
  compared(endpoint: string, differing: readonly string[]): void;
  verdict(endpoint: string, path: string): NoiseVerdict;
  snapshot(): NoiseSnapshot;
  /** Adds what another has counted. */
  merge(other: NoiseSnapshot): void;
  /** Paths that were not counted because a bound was reached. */
  dropped(): number;
};

type Counts = {
  inPairs: number;
  inCompared: number;
  /** The last verdict, and the counts that it was made of. */
  judged?: { verdict: NoiseVerdict; of: NoiseCounts };
};
type Endpoint = { pairs: number; compared: number; paths: Map<string, Counts> };

/** Counts in memory, of at most `maxEndpoints` × `maxPathsPerEndpoint` paths. */
export const createNoise = (given: Partial<NoiseBounds> = {}): Noise => {
  const bounds = { ...defaultNoiseBounds, ...given };
  const endpoints = new Map<string, Endpoint>();
  let dropped = 0;

  const endpointOf = (name: string): Endpoint | null => {
    const known = endpoints.get(name);
    if (known !== undefined) return known;
    if (endpoints.size >= bounds.maxEndpoints) return null;
    const made: Endpoint = { pairs: 0, compared: 0, paths: new Map() };
    endpoints.set(name, made);
    return made;
  };

  const countsOf = (endpoint: Endpoint, path: string): Counts | null => {
    const known = endpoint.paths.get(path);
    if (known !== undefined) return known;
    if (endpoint.paths.size >= bounds.maxPathsPerEndpoint) return null;
    const made = { inPairs: 0, inCompared: 0 };
    endpoint.paths.set(path, made);
    return made;
  };

  const count = (name: string, differing: readonly string[], what: 'pairs' | 'compared'): void => {
    const endpoint = endpointOf(name);
    if (endpoint === null) {
      dropped += 1;
      return;
    }
    endpoint[what] += 1;
    for (const path of new Set(differing)) {
      const counts = countsOf(endpoint, path);
      if (counts === null) dropped += 1;
      else counts[what === 'pairs' ? 'inPairs' : 'inCompared'] += 1;
    }
    fade(endpoint);
  };

  const fade = (endpoint: Endpoint): void => {
    while (endpoint.pairs >= bounds.window || endpoint.compared >= bounds.window) {
      // A count that is still small is worth keeping whole: only the one that is large enough is halved.
      const which = endpoint.pairs >= bounds.window ? 'pairs' : 'compared';
      const within = which === 'pairs' ? 'inPairs' : 'inCompared';
      endpoint[which] = Math.floor(endpoint[which] / 2);
      for (const [path, counts] of endpoint.paths) {
        counts[within] = Math.min(Math.round(counts[within] / 2), endpoint[which]);
        if (counts.inPairs === 0 && counts.inCompared === 0) endpoint.paths.delete(path);
      }
    }
  };

  return {
    learn: (name, differing) => count(name, differing, 'pairs'),
    compared: (name, differing) => count(name, differing, 'compared'),
    verdict(name, path) {
      const endpoint = endpoints.get(name);
      const counts = endpoint?.paths.get(path);
      const of = {
        pairs: endpoint?.pairs ?? 0,
        compared: endpoint?.compared ?? 0,
        inPairs: counts?.inPairs ?? 0,
        inCompared: counts?.inCompared ?? 0,
      };
      if (counts === undefined) return judgeNoise(of, bounds);
      if (counts.judged === undefined || hasChanged(counts.judged.of, of)) {
        counts.judged = { verdict: judgeNoise(of, bounds), of };
      }
      return counts.judged.verdict;
    },
    snapshot: () => ({
      endpoints: Object.fromEntries(
        [...endpoints].map(([name, { pairs, compared, paths }]) => [
          name,
          {
            pairs,
            compared,
            paths: Object.fromEntries(
              [...paths].map(([path, counts]) => [path, { inPairs: counts.inPairs, inCompared: counts.inCompared }]),
            ),
          },
        ]),
      ),
    }),
    merge(other) {
      for (const [name, theirs] of Object.entries(other.endpoints)) {
        const endpoint = endpointOf(name);
        if (endpoint === null) {
          dropped += 1;
          continue;
        }
        endpoint.pairs += theirs.pairs;
        endpoint.compared += theirs.compared;
        for (const [path, their] of Object.entries(theirs.paths)) {
          const counts = countsOf(endpoint, path);
          if (counts === null) {
            dropped += 1;
            continue;
          }
          counts.inPairs += their.inPairs;
          counts.inCompared += their.inCompared;
        }
        fade(endpoint);
      }
    },
    dropped: () => dropped,
  };
};

/** By more than a fiftieth: the bounds move by less than that. */
const hasChanged = (before: NoiseCounts, now: NoiseCounts): boolean =>
  (['pairs', 'inPairs', 'compared', 'inCompared'] as const).some(
    (name) => Math.abs(now[name] - before[name]) > before[name] / 50,
  );

export type NoiseCounts = { pairs: number; inPairs: number; compared: number; inCompared: number };

/** The test itself: see `NoiseBounds`. */
export const judgeNoise = (
  { pairs, inPairs, compared, inCompared }: NoiseCounts,
  { alpha, maxRatio, leastPairs }: Pick<NoiseBounds, 'alpha' | 'maxRatio' | 'leastPairs'> = defaultNoiseBounds,
): NoiseVerdict => {
  const figures = `differs in ${inPairs} of ${pairs} pairs of the monolith's own answers, in ${inCompared} of ${compared} comparisons with the service`;
  if (inPairs === 0) {
    return {
      noise: false,
      why:
        pairs === 0
          ? 'the monolith was not asked twice yet'
          : `${figures}: the monolith never differs from itself here`,
    };
  }
  if (pairs < leastPairs || compared < leastPairs) {
    return { noise: false, why: `${figures}: fewer than ${leastPairs} of either do not tell` };
  }
  const own = shareBounds(inPairs, pairs, alpha / 2).low;
  const both = shareBounds(inCompared, compared, alpha / 2).high;
  const noise = both <= maxRatio * own;
  const bound = `at most ${percent(both)} of comparisons against at least ${percent(own)} of the monolith's own (each bound exact, wrong once in ${Math.round(2 / alpha)})`;
  return {
    noise,
    why: `${figures}: ${bound}, ${noise ? 'within' : 'not proven within'} ${maxRatio} times as often`,
  };
};

const percent = (share: number): string => `${Number((share * 100).toPrecision(3))} %`;
