import { describe, expect, test } from '@jest/globals';
import { type CanaryBounds, defaultCanaryBounds } from '@strangler/platform/contracts/slice-file.ts';
import fc from 'fast-check';
import { binomialTail, fisherTail } from './exact-tests.ts';
import { type CanaryProgress, type CanaryVerdict, judgeCanary } from './judge.ts';
import { bucketOfLatency, fasterBy, quantileMs } from './latency.ts';
import {
  addBoth,
  type BothSides,
  noFigures,
  noneOfBoth,
  packFigures,
  type SideFigures,
  unpackFigures,
} from './side-figures.ts';

const usual = defaultCanaryBounds;
const bounds = usual;
const none = { compared: 0, different: 0 };

const compared = (random: () => number, reads: number, differing: number) => {
  const count = { compared: Math.round(reads), different: 0 };
  for (let read = 0; read < count.compared; read += 1) if (random() < differing) count.different += 1;
  return count;
};

/** Random numbers from 0 to 1, the same ones for the same seed (mulberry32). */
const seeded = (seed: number) => {
  let state = seed;
  return (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
};

type Side = { failing: number; medianMs: number };

/** One second of reads at a side: some fail, the others take a time with a long tail. */
const second = (random: () => number, requests: number, { failing, medianMs }: Side): SideFigures => {
  const figures = { ...noFigures(), requests };
  for (let read = 0; read < requests; read += 1) {
    if (random() < failing) figures.errors += 1;
    else figures.latency[bucketOfLatency(medianMs * Math.exp(0.8 * normal(random)))]! += 1;
  }
  return figures;
};
const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** Looks each second of a bake, as the proxy that steers does, and returns what it does first, if anything. */
const bake = (
  random: () => number,
  of: {
    percent: number;
    readsASecond: number;
    seconds: number;
    monolith: Side;
    service: Side;
    baseline?: SideFigures;
    /** Half of all reads are compared, and of those this share differs; none without it. */
    differing?: number;
  },
  bounds: CanaryBounds = usual,
): { verdict: CanaryVerdict; atSecond: number } => {
  const since = noneOfBoth();
  const seconds: BothSides[] = [];
  const progress: CanaryProgress = { percent: of.percent, bakedMs: 0, good: [1, 5], stopped: false };
  let verdict: CanaryVerdict | undefined;
  for (let at = 1; at <= of.seconds; at += 1) {
    const atService = Math.round((of.readsASecond * of.percent) / 100);
    const now = {
      monolith: second(random, of.readsASecond - atService, of.monolith),
      service: second(random, atService, of.service),
      mismatches: of.differing === undefined ? none : compared(random, of.readsASecond / 2, of.differing),
    };
    seconds.push(now);
    addBoth(since, now);
    const recent = noneOfBoth();
    for (const one of seconds.slice(-10)) addBoth(recent, one);
    verdict = judgeCanary({ recent, since, baseline: of.baseline ?? null }, bounds, {
      ...progress,
      bakedMs: at * 1_000,
    });
    if (verdict.kind !== 'hold') return { verdict, atSecond: at };
  }
  return { verdict: verdict!, atSecond: of.seconds };
};

const healthy = { failing: 0.0003, medianMs: 12 };

describe('exact tests', () => {
  test('give the probabilities of the textbook', () => {
    expect(binomialTail(10, 3, 0.1)).toBeCloseTo(0.0701908, 6);
    // Fisher's lady who tastes tea: all four right out of eight cups.
    expect(fisherTail(8, 4, 4, 4)).toBeCloseTo(1 / 70, 10);
    expect(fisherTail(24, 6, 12, 5)).toBeCloseTo(0.0775, 3);
  });

  test('are probabilities, and smaller for more of the same', () => {
    fc.assert(
      fc.property(fc.nat(5_000), fc.nat(5_000), fc.nat(5_000), fc.nat(5_000), (total, marked, drawn, k) => {
        fc.pre(marked <= total && drawn <= total);
        const tail = fisherTail(total, marked, drawn, k);
        expect(tail).toBeGreaterThanOrEqual(0);
        expect(tail).toBeLessThanOrEqual(1);
        expect(fisherTail(total, marked, drawn, k + 1)).toBeLessThanOrEqual(tail + 1e-12);
      }),
    );
  });
});

describe('latency buckets', () => {
  test('give back a quantile within a bucket of the truth', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 1, max: 30_000, noNaN: true }), { minLength: 1, maxLength: 300 }),
        (all) => {
          const figures = noFigures();
          for (const ms of all) figures.latency[bucketOfLatency(ms)]! += 1;
          const truth = [...all].sort((a, b) => a - b)[Math.ceil(0.99 * all.length) - 1]!;
          const found = quantileMs(figures.latency, 0.99)!;
          expect(found / truth).toBeGreaterThan(1 / 1.2001);
          expect(found / truth).toBeLessThan(1.2001);
        },
      ),
    );
  });

  test('taken as faster are never slower than the ratio says, and none is lost', () => {
    const figures = noFigures();
    figures.latency[bucketOfLatency(150)]! += 7;
    expect(quantileMs(fasterBy(figures.latency, 1.5), 1)!).toBeLessThanOrEqual(150 / 1.5 + 20);
    expect(fasterBy(figures.latency, 1.5).reduce((sum, one) => sum + one)).toBe(7);
  });

  test('come through Consul as they were', () => {
    const random = seeded(3);
    const figures = second(random, 500, { failing: 0.1, medianMs: 30 });
    expect(unpackFigures(packFigures(figures))).toEqual(figures);
  });
});

describe('a canary that keeps its bounds', () => {
  test('is stepped back by chance no oftener than once in a thousand bakes, whatever its traffic', () => {
    let runs = 0;
    let alarms = 0;
    for (const percent of [1, 5, 25, 50]) {
      for (const readsASecond of [5, 60, 200]) {
        for (const failing of [0, 0.001, 0.02]) {
          const random = seeded(percent * 1_000 + readsASecond + failing * 1e6);
          for (let run = 0; run < 6; run += 1) {
            const side = { failing, medianMs: 12 };
            const { verdict } = bake(random, { percent, readsASecond, seconds: 29, monolith: side, service: side });
            runs += 1;
            if (verdict.kind === 'step-back') alarms += 1;
          }
        }
      }
    }
    expect(runs).toBe(216);
    expect(alarms).toBe(0);
  });

  test('goes up when it has baked and not before', () => {
    const { verdict, atSecond } = bake(seeded(1), {
      percent: 25,
      readsASecond: 100,
      seconds: 120,
      monolith: { failing: 0, medianMs: 12 },
      service: { failing: 0, medianMs: 12 },
    });
    expect(verdict).toMatchObject({ kind: 'step-up', to: 50 });
    expect(atSecond).toBeGreaterThanOrEqual(30);
  });

  test('of the monolith’s own faults is not blamed: what fails both alike moves nobody', () => {
    const failing = { failing: 0.4, medianMs: 12 };
    const { verdict } = bake(seeded(2), {
      percent: 25,
      readsASecond: 200,
      seconds: 29,
      monolith: failing,
      service: failing,
    });
    expect(verdict).toMatchObject({ kind: 'hold', state: 'baking' });
  });
});

describe('a canary that breaks a bound', () => {
  test('by errors is stepped back to the last good percentage, at any share of traffic that suffices to prove it', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.constantFrom(5, 25, 50),
        fc.integer({ min: 100, max: 400 }),
        fc.double({ min: 0.3, max: 1, noNaN: true }),
        (seed, percent, readsASecond, failing) => {
          const { verdict, atSecond } = bake(seeded(seed), {
            percent,
            readsASecond,
            seconds: 29,
            monolith: healthy,
            service: { ...healthy, failing },
          });
          expect(verdict).toMatchObject({ kind: 'step-back', to: percent === 5 ? 1 : 5 });
          expect(atSecond).toBeLessThanOrEqual(10);
        },
      ),
      { numRuns: 60, seed: 7 },
    );
  });

  test('by latency is stepped back once the samples suffice', () => {
    fc.assert(
      fc.property(fc.integer(), fc.constantFrom(5, 25, 50), (seed, percent) => {
        const { verdict } = bake(seeded(seed), {
          percent,
          readsASecond: 300,
          seconds: 29,
          monolith: { failing: 0, medianMs: 12 },
          service: { failing: 0, medianMs: 48 },
        });
        expect(verdict).toMatchObject({ kind: 'step-back', to: percent === 5 ? 1 : 5 });
        expect(verdict.why).toContain('p99');
      }),
      { numRuns: 20, seed: 7 },
    );
  });

  test('by milliseconds that nobody notices is not stepped back, however large their ratio', () => {
    const fast = { failing: 0, medianMs: 0.7 };
    const slower = { failing: 0, medianMs: 1.4 };
    const traffic = { percent: 25, readsASecond: 300, monolith: fast, service: slower };
    expect(bake(seeded(8), { ...traffic, seconds: 29 }).verdict.kind).toBe('hold');
    expect(bake(seeded(8), { ...traffic, seconds: 40 }).verdict).toMatchObject({ kind: 'step-up', to: 50 });
    const far = { failing: 0, medianMs: 7 };
    expect(bake(seeded(8), { ...traffic, service: far, seconds: 29 }).verdict.kind).toBe('step-back');
  });

  test('at 100 % is held against what the monolith did at the step before', () => {
    const baseline = second(seeded(4), 3_000, { failing: 0, medianMs: 12 });
    const at100 = { percent: 100, readsASecond: 200, seconds: 29, monolith: healthy, baseline };
    expect(bake(seeded(5), { ...at100, service: { failing: 0.2, medianMs: 12 } }).verdict.kind).toBe('step-back');
    expect(bake(seeded(5), { ...at100, service: { failing: 0, medianMs: 60 } }).verdict.kind).toBe('step-back');
    expect(bake(seeded(5), { ...at100, seconds: 40, service: { failing: 0, medianMs: 12 } }).verdict).toMatchObject({
      kind: 'hold',
      state: 'baked',
    });
  });

  test('while it waits, or after it has stopped, is stepped back all the same, to 0 where nothing was good', () => {
    const service = { ...noFigures(), requests: 100, errors: 60 };
    const monolith = { ...noFigures(), requests: 300 };
    const both = { monolith, service, mismatches: none };
    const figures = { recent: both, since: both, baseline: null };
    const progress = { percent: 25, bakedMs: 500_000, good: [], stopped: true };
    expect(judgeCanary(figures, bounds, progress)).toMatchObject({ kind: 'step-back', to: 0 });
    expect(judgeCanary(figures, bounds, { ...progress, good: [50, 5, 1] })).toMatchObject({ kind: 'step-back', to: 5 });
  });
});

describe('mismatches', () => {
  const bounded = { ...usual, maxMismatchRate: 0.001 };
  const quiet = { percent: 25, readsASecond: 200, seconds: 29, monolith: healthy, service: healthy };

  test('at the bound step back by chance no oftener than once in a thousand bakes', () => {
    let alarms = 0;
    for (let run = 0; run < 60; run += 1) {
      const of = { ...quiet, readsASecond: [20, 100, 200][run % 3]!, differing: [0, 0.0005, 0.001][run % 3]! };
      if (bake(seeded(9_000 + run), of, bounded).verdict.kind === 'step-back') alarms += 1;
    }
    expect(alarms).toBeLessThanOrEqual(1);
  });

  test('of one read in fifty step back within seconds, and say so', () => {
    const { verdict, atSecond } = bake(seeded(31), { ...quiet, differing: 0.02 }, bounded);
    expect(verdict).toMatchObject({ kind: 'step-back', to: 5 });
    expect(verdict.why).toMatch(
      /^the service answered \d+ of \d+ compared reads .* otherwise than the monolith; the bound is 0.1 %$/,
    );
    expect(atSecond).toBeLessThanOrEqual(6);
  });

  test('mean nothing where they are not bounded, and everything where none is allowed', () => {
    expect(bake(seeded(31), { ...quiet, differing: 0.02 }, usual).verdict.kind).not.toBe('step-back');
    const since = { ...noneOfBoth(), mismatches: { compared: 40, different: 1 } };
    const figures = { recent: noneOfBoth(), since, baseline: null };
    const progress = { percent: 25, bakedMs: 500, good: [5], stopped: false };
    expect(judgeCanary(figures, { ...bounded, maxMismatchRate: 0 }, progress)).toMatchObject({
      kind: 'step-back',
      to: 5,
    });
    expect(judgeCanary(figures, bounded, progress).kind).toBe('hold');
  });

  test('that break while it waits, or after it has stopped, step it back all the same', () => {
    const mismatches = { compared: 400, different: 40 };
    const figures = { recent: noneOfBoth(), since: { ...noneOfBoth(), mismatches }, baseline: null };
    const progress = { percent: 25, bakedMs: 500_000, good: [], stopped: true };
    expect(judgeCanary(figures, bounded, progress)).toMatchObject({ kind: 'step-back', to: 0 });
    expect(judgeCanary(figures, bounded, { ...progress, stopped: false, good: [5] })).toMatchObject({ to: 5 });
  });

  test('over the bound and too few to prove it keep it from going up', () => {
    const side = { ...noFigures(), requests: 500 };
    const since = { monolith: side, service: side, mismatches: { compared: 400, different: 1 } };
    const progress = { percent: 25, bakedMs: 500_000, good: [5], stopped: false };
    const verdict = judgeCanary({ recent: since, since, baseline: null }, bounded, progress);
    expect(verdict).toMatchObject({ kind: 'hold', state: 'waiting' });
    expect(verdict.kind === 'hold' && verdict.lacks.join()).toMatch(
      /^more comparisons: 1 of 400 compared reads \(0.25 %\) differed/,
    );
  });
});

describe('little traffic', () => {
  const quiet = { recent: noneOfBoth(), since: noneOfBoth(), baseline: null };

  test('neither passes nor fails, however long, and says what it lacks', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 199 }),
        fc.integer({ min: 0, max: 199 }),
        fc.nat(10_000_000),
        (s, m, bakedMs) => {
          const since = {
            ...noneOfBoth(),
            service: { ...noFigures(), requests: s },
            monolith: { ...noFigures(), requests: m },
          };
          const verdict = judgeCanary({ ...quiet, since }, bounds, { percent: 25, bakedMs, good: [], stopped: false });
          if (verdict.kind !== 'hold') throw new Error(`expected it to hold, found ${verdict.kind}`);
          expect(verdict.lacks.join()).toContain(`at the service (${s} of 200)`);
          expect(verdict.lacks.join()).toContain(`at the monolith (${m} of 200)`);
        },
      ),
    );
  });

  test('with one error in two hundred reads waits for more', () => {
    const since = {
      ...noneOfBoth(),
      service: { ...noFigures(), requests: 200, errors: 1 },
      monolith: { ...noFigures(), requests: 600 },
    };
    const verdict = judgeCanary({ ...quiet, since }, bounds, {
      percent: 25,
      bakedMs: 60_000,
      good: [],
      stopped: false,
    });
    expect(verdict).toMatchObject({ kind: 'hold', state: 'waiting' });
  });

  test('at 0 % there is nothing to judge', () => {
    const progress = { percent: 0, bakedMs: 0, good: [], stopped: false };
    expect(judgeCanary(quiet, bounds, progress)).toMatchObject({ kind: 'hold', state: 'off' });
    expect(judgeCanary(quiet, bounds, { ...progress, stopped: true })).toMatchObject({ state: 'stopped' });
  });
});
