import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { incompleteBeta, shareBounds } from './binomial.ts';
import { createNoise, defaultNoiseBounds, judgeNoise, type NoiseSnapshot } from './noise.ts';

const endpoint = 'GET /a';
const path = '$.at';

/** P(X <= hits) by adding up, for what the bounds are held against. */
const atMost = (hits: number, trials: number, share: number): number => {
  let [sum, logChoose] = [0, 0];
  for (let k = 0; k <= hits; k += 1) {
    if (k > 0) logChoose += Math.log((trials - k + 1) / k);
    sum += Math.exp(logChoose + k * Math.log(share) + (trials - k) * Math.log1p(-share));
  }
  return sum;
};

/** Draws repeatably: fast-check gives the seed. */
const draws = (seed: number) => {
  let state = seed >>> 0 || 1;
  return (): number => {
    // xorshift32 (Marsaglia 2003)
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
};
const hitsOf = (trials: number, share: number, draw: () => number): number =>
  Array.from({ length: trials }).reduce((sum: number) => sum + (draw() < share ? 1 : 0), 0);

describe('the bounds of a share', () => {
  test('are exact: what was seen is exactly as unlikely as alpha at them', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 }), fc.double({ min: 0, max: 1, noNaN: true }), (trials, part) => {
        const hits = Math.round(part * trials);
        const { low, high } = shareBounds(hits, trials, 0.01);
        if (hits > 0) expect(1 - atMost(hits - 1, trials, low)).toBeCloseTo(0.01, 6);
        if (hits < trials) expect(atMost(hits, trials, high)).toBeCloseTo(0.01, 6);
        expect(low).toBeLessThanOrEqual(hits / trials);
        expect(high).toBeGreaterThanOrEqual(hits / trials);
      }),
      { numRuns: 100 },
    );
  });

  test('of nothing and of everything are known by hand', () => {
    expect(shareBounds(0, 10, 0.05)).toEqual({ low: 0, high: expect.closeTo(1 - 0.05 ** 0.1, 9) });
    expect(shareBounds(10, 10, 0.05)).toEqual({ low: expect.closeTo(0.05 ** 0.1, 9), high: 1 });
    expect(incompleteBeta(0.3, 1, 1)).toBeCloseTo(0.3, 12);
    expect(incompleteBeta(0.5, 7, 7)).toBeCloseTo(0.5, 12);
  });
});

describe('noise', () => {
  test('is what differs as often between the monolith’s own answers', () => {
    const noise = createNoise();
    for (let n = 0; n < 20; n += 1) noise.learn(endpoint, [path]);
    for (let n = 0; n < 200; n += 1) noise.compared(endpoint, [path]);
    const verdict = noise.verdict(endpoint, path);
    expect(verdict.noise).toBe(true);
    expect(verdict.why).toBe(
      "differs in 20 of 20 pairs of the monolith's own answers, in 200 of 200 comparisons with the service: at most 100 % of comparisons against at least 68.4 % of the monolith's own (each bound exact, wrong once in 2000), within 2 times as often",
    );
  });

  test('is never what the monolith has not shown, however often the service does', () => {
    fc.assert(
      fc.property(fc.nat(5_000), fc.nat(5_000), fc.nat(5_000), (pairs, compared, part) => {
        const inCompared = Math.min(part, compared);
        expect(judgeNoise({ pairs, inPairs: 0, compared, inCompared }).noise).toBe(false);
      }),
    );
  });

  test('is not told from a handful', () => {
    const { leastPairs } = defaultNoiseBounds;
    expect(judgeNoise({ pairs: leastPairs - 1, inPairs: leastPairs - 1, compared: 999, inCompared: 999 }).noise).toBe(
      false,
    );
    expect(judgeNoise({ pairs: 999, inPairs: 999, compared: 2, inCompared: 2 }).noise).toBe(false);
  });

  test('of a healthy service is recognised once there is enough to tell: false alarms', () => {
    // A field that differs in a share p of pairs, on a healthy service in as large a share of comparisons.
    fc.assert(
      fc.property(fc.double({ min: 0.3, max: 1, noNaN: true }), fc.integer({ min: 1 }), (share, seed) => {
        const draw = draws(seed);
        const rounds = 40;
        let recognised = 0;
        for (let round = 0; round < rounds; round += 1) {
          const counts = {
            pairs: 600,
            compared: 1_200,
            inPairs: hitsOf(600, share, draw),
            inCompared: hitsOf(1_200, share, draw),
          };
          if (judgeNoise(counts).noise) recognised += 1;
        }
        expect(recognised).toBeGreaterThanOrEqual(39);
      }),
      { numRuns: 10 },
    );
  });

  test('what always differs is recognised from the first dozen of pairs on', () => {
    expect(judgeNoise({ pairs: 12, inPairs: 12, compared: 12, inCompared: 12 }).noise).toBe(true);
  });

  test('hides a fault at most once in 1/alpha looks: faults that make a field differ more than maxRatio times as often', () => {
    // Computed, not drawn: the probability is summed over every outcome that two binomial draws can have.
    const logChoose = (n: number, k: number): number => {
      let sum = 0;
      for (let i = 1; i <= k; i += 1) sum += Math.log((n - k + i) / i);
      return sum;
    };
    const chance = (n: number, k: number, p: number): number =>
      p === 0
        ? k === 0
          ? 1
          : 0
        : p === 1
          ? k === n
            ? 1
            : 0
          : Math.exp(logChoose(n, k) + k * Math.log(p) + (n - k) * Math.log1p(-p));
    const shares = fc.double({ min: 0.001, max: 0.5, noNaN: true });
    fc.assert(
      fc.property(
        fc.integer({ min: 12, max: 30 }),
        fc.integer({ min: 12, max: 30 }),
        shares,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (pairs, compared, own, part) => {
          const least = defaultNoiseBounds.maxRatio * own;
          const share = least + (1 - least) * part;
          let hidden = 0;
          for (let inPairs = 0; inPairs <= pairs; inPairs += 1) {
            for (let inCompared = 0; inCompared <= compared; inCompared += 1) {
              const likely = chance(pairs, inPairs, own) * chance(compared, inCompared, share);
              if (likely > 1e-9 && judgeNoise({ pairs, inPairs, compared, inCompared }).noise) hidden += likely;
            }
          }
          expect(hidden).toBeLessThanOrEqual(defaultNoiseBounds.alpha);
        },
      ),
      { numRuns: 10 },
    );
  });

  test('more differences with the service never make it noise that was none', () => {
    const counts = fc.record({
      pairs: fc.integer({ min: 12, max: 300 }),
      compared: fc.integer({ min: 12, max: 300 }),
      a: fc.nat(300),
      b: fc.nat(300),
    });
    fc.assert(
      fc.property(counts, ({ pairs, compared, a, b }) => {
        const inPairs = Math.min(a, pairs);
        const inCompared = Math.min(b, compared - 1);
        const fewer = judgeNoise({ pairs, inPairs, compared, inCompared }).noise;
        const more = judgeNoise({ pairs, inPairs, compared, inCompared: inCompared + 1 }).noise;
        expect(more && !fewer).toBe(false);
      }),
    );
  });
});

test('a verdict is looked up while the counts have hardly changed: it is asked for with every comparison', () => {
  const noise = createNoise();
  for (let n = 0; n < 2_000; n += 1) noise.learn(endpoint, [path]);
  for (let n = 0; n < 2_000; n += 1) noise.compared(endpoint, [path]);
  const first = noise.verdict(endpoint, path);
  noise.compared(endpoint, [path]);
  expect(noise.verdict(endpoint, path)).toBe(first);
  for (let n = 0; n < 100; n += 1) noise.compared(endpoint, []);
  expect(noise.verdict(endpoint, path)).not.toBe(first);
});

describe('what is counted', () => {
  test('is apart for endpoints and paths, and once a comparison', () => {
    const noise = createNoise();
    for (let n = 0; n < 20; n += 1) noise.learn(endpoint, [path, path]);
    for (let n = 0; n < 20; n += 1) noise.compared(endpoint, [path, path, '$.other']);
    expect(noise.snapshot()).toEqual({
      endpoints: {
        [endpoint]: {
          pairs: 20,
          compared: 20,
          paths: { [path]: { inPairs: 20, inCompared: 20 }, '$.other': { inPairs: 0, inCompared: 20 } },
        },
      },
    });
    expect(noise.verdict(endpoint, '$.other').noise).toBe(false);
    expect(noise.verdict('GET /b', path)).toEqual({ noise: false, why: 'the monolith was not asked twice yet' });
  });

  test('by several workers adds up as if one had counted it', () => {
    const events = fc.array(
      fc.record({ aa: fc.boolean(), to: fc.constantFrom('a', 'b'), paths: fc.subarray(['x', 'y']), worker: fc.nat(2) }),
      { maxLength: 100 },
    );
    fc.assert(
      fc.property(events, (list) => {
        const [one, ...workers] = Array.from({ length: 4 }, () => createNoise());
        for (const { aa, to, paths, worker } of list) {
          for (const noise of [one!, workers[worker]!]) aa ? noise.learn(to, paths) : noise.compared(to, paths);
        }
        const sum = createNoise();
        for (const worker of workers) sum.merge(JSON.parse(JSON.stringify(worker.snapshot())) as NoiseSnapshot);
        expect(sum.snapshot()).toEqual(one!.snapshot());
      }),
    );
  });

  test('stays within its bounds, and says what it dropped', () => {
    const noise = createNoise({ maxEndpoints: 2, maxPathsPerEndpoint: 3 });
    for (let n = 0; n < 10; n += 1) noise.learn(`GET /${n}`, ['a', 'b', 'c', 'd', 'e']);
    const { endpoints } = noise.snapshot();
    expect(Object.keys(endpoints)).toHaveLength(2);
    expect(Object.keys(endpoints['GET /0']!.paths)).toHaveLength(3);
    expect(noise.dropped()).toBe(2 * 2 + 8);
  });

  test('fades: what the monolith did long ago excuses nothing for ever', () => {
    const noise = createNoise({ window: 100 });
    for (let n = 0; n < 99; n += 1) noise.learn(endpoint, [path]);
    for (let n = 0; n < 60; n += 1) noise.compared(endpoint, [path]);
    expect(noise.verdict(endpoint, path).noise).toBe(true);
    for (let n = 0; n < 2_000; n += 1) noise.learn(endpoint, []);
    expect(noise.verdict(endpoint, path).noise).toBe(false);
    expect(noise.snapshot().endpoints[endpoint]!.pairs).toBeLessThan(100);
  });
});
