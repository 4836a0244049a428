import { type CanaryState, latencyBuckets } from '@strangler/platform/contracts/canary.ts';
import type { CanaryBounds } from '@strangler/platform/contracts/slice-file.ts';
import { binomialTail, fisherTail } from './exact-tests.ts';
import { fasterBy, quantileMs, sumOf } from './latency.ts';
import type { BothSides, Mismatches, SideFigures } from './side-figures.ts';

/** What all proxies together have measured at the present percentage. */
export type CanaryFigures = {
  /** The last seconds: a break shows here first. */
  recent: BothSides;
  /** Since the percentage came into force: a slow burn shows here, and it is what a step up rests on. */
  since: BothSides;
  /** The monolith at the last step below 100 %; null where there was none. Looked at only where at 100 % it has no reads. */
  baseline: SideFigures | null;
};

/** Where the canary stood before this look. */
export type CanaryProgress = {
  percent: number;
  bakedMs: number;
  /** Percentages that were baked and found good. */
  good: readonly number[];
  /** The percentage was lowered, and nobody has set it since. */
  stopped: boolean;
};

export type CanaryVerdict =
  | { kind: 'hold'; state: CanaryState; why: string; lacks: string[] }
  | { kind: 'step-up'; to: number; why: string }
  | { kind: 'step-back'; to: number; why: string };

/** How often, at most, a canary that keeps its bounds is stepped back by chance: once in so many bakes at one percentage. */
export const falseAlarms = 0.001;
/** How often figures are looked at. */
export const lookEveryMs = 1_000;
/** Errors, latency and, where it is bounded, mismatches, each over the recent and over the whole figures. */
const testsALook = ({ maxMismatchRate }: CanaryBounds): number => (maxMismatchRate === null ? 4 : 6);

/**
 * Says what to do with a canary. It decides on figures only and knows no clock.
 *
 * A bound is broken when the figures prove it at 99.9 % over a whole bake: each look at each figure takes its part of the
 * 0.1 % (Bonferroni), since the same canary is looked at every second.
 *
 * - Errors: the service fails more than `maxErrorRate` of its reads (exact binomial test), and a larger share of them than
 *   the monolith does of its own in the same span (Fisher's exact test, one-sided). Both must be proved, so what fails both
 *   sides alike, such as a database that they share, is not held against the service. Where the monolith has had no
 *   reads the first alone decides.
 * - Latency: the service's 99th percentile is more than `maxP99Ratio` times the monolith's and more than `p99SlackMs` above it,
 *   with `minSamples` answers of each side, and of the slowest hundredth of all answers, the service's taken as that much
 *   faster as the bound allows, more are the service's than is its share (Fisher's exact test again, here a permutation test).
 *
 * - Mismatches, where `maxMismatchRate` bounds them: a larger share of the compared reads than it allows was answered otherwise
 *   than by the monolith (exact binomial test). What is late, or differs between two answers of the monolith, is none.
 *
 * All tests take reads as independent of each other. A percentage is good when it has baked, both sides have `minSamples` reads
 * (at 100 % the service is enough), and the figures themselves keep the bounds. What is neither broken nor good stays
 * as it is, and what it lacks is said.
 */
export const judgeCanary = (figures: CanaryFigures, bounds: CanaryBounds, progress: CanaryProgress): CanaryVerdict => {
  const { percent, bakedMs, stopped } = progress;
  if (percent === 0) {
    const why = stopped ? 'lowered to 0 %; it goes on when somebody sets a percentage' : 'no user reads at the service';
    return { kind: 'hold', state: stopped ? 'stopped' : 'off', why, lacks: ['a percentage above 0'] };
  }
  const looks = Math.max(1, Math.ceil(bounds.bakeMs / lookEveryMs));
  const alpha = falseAlarms / (testsALook(bounds) * looks);
  const sinceCompared = withBaseline(figures.since, figures.baseline, bounds, percent);
  const broken =
    brokenBound(withBaseline(figures.recent, figures.baseline, bounds, percent), bounds, alpha) ??
    brokenBound(sinceCompared, bounds, alpha);
  if (broken !== null) {
    return { kind: 'step-back', to: Math.max(0, ...progress.good.filter((one) => one < percent)), why: broken };
  }
  if (stopped) {
    const why = 'lowered before; it goes on when somebody sets the percentage';
    return {
      kind: 'hold',
      state: 'stopped',
      why,
      lacks: ["somebody's word that it may go on: the percentage, set anew"],
    };
  }

  const lacks = lackingFor(sinceCompared, bounds, percent);
  const told = tell(sinceCompared);
  if (bakedMs < bounds.bakeMs) {
    const left = Math.ceil((bounds.bakeMs - bakedMs) / 1_000);
    return { kind: 'hold', state: 'baking', why: told, lacks: [`${left} s of baking`, ...lacks] };
  }
  if (lacks.length > 0) return { kind: 'hold', state: 'waiting', why: told, lacks };
  const to = bounds.steps.find((step) => step > percent);
  return to === undefined
    ? { kind: 'hold', state: 'baked', why: told, lacks: [] }
    : { kind: 'step-up', to, why: `${told}, baked for ${Math.round(bakedMs / 1_000)} s` };
};

/** At 100 % the monolith has next to no reads: then what it did at the step before is what there is to compare with. */
const withBaseline = (
  { monolith, service, mismatches }: BothSides,
  baseline: SideFigures | null,
  { minSamples }: CanaryBounds,
  percent: number,
): BothSides => ({
  mismatches,
  service,
  monolith: percent === 100 && baseline !== null && monolith.requests < minSamples ? baseline : monolith,
});

/** Says which bound is proved to be broken, with the figures; null where none is. */
const brokenBound = (
  { monolith, service, mismatches }: BothSides,
  bounds: CanaryBounds,
  alpha: number,
): string | null => {
  const { maxErrorRate, minSamples, maxMismatchRate } = bounds;
  if (
    maxMismatchRate !== null &&
    mismatchRate(mismatches) > maxMismatchRate &&
    binomialTail(mismatches.compared, mismatches.different, maxMismatchRate) < alpha
  ) {
    return `the service answered ${tellMismatches(mismatches)} otherwise than the monolith; the bound is ${percents(maxMismatchRate)}`;
  }
  if (
    rateOf(service) > maxErrorRate &&
    binomialTail(service.requests, service.errors, maxErrorRate) < alpha &&
    (monolith.requests === 0 ||
      fisherTail(
        monolith.requests + service.requests,
        monolith.errors + service.errors,
        service.requests,
        service.errors,
      ) < alpha)
  ) {
    return `the service failed ${tellErrors(service)}, the monolith ${tellErrors(monolith)}; the bound is ${percents(maxErrorRate)}`;
  }
  if (sumOf(monolith.latency) < minSamples || sumOf(service.latency) < minSamples) return null;
  const [p99, p99OfMonolith, ratio] = [p99Of(service), p99Of(monolith), allowedRatio(monolith, bounds)];
  if (p99 > p99OfMonolith * ratio && slowestShare(monolith.latency, fasterBy(service.latency, ratio)) < alpha) {
    return `the service's p99 is ${milliseconds(p99)} in ${service.requests} reads, the monolith's ${milliseconds(p99OfMonolith)} in ${monolith.requests}; the bound is ${milliseconds(p99OfMonolith * ratio)}`;
  }
  return null;
};

/** How many times the monolith's 99th percentile the service's may be, the slack included. */
const allowedRatio = (monolith: SideFigures, { maxP99Ratio, p99SlackMs }: CanaryBounds): number =>
  Math.max(maxP99Ratio, 1 + p99SlackMs / Math.max(p99Of(monolith), latencyBuckets.firstMs));

/** The probability that chance alone puts as many of the service's answers among the slowest hundredth of all. */
const slowestShare = (monolith: readonly number[], service: readonly number[]): number => {
  const [ofMonolith, ofService] = [sumOf(monolith), sumOf(service)];
  let slowest = 0;
  let slowestOfService = 0;
  // Whole buckets, down to the one in which the pooled 99th percentile lies.
  for (let bucket = monolith.length - 1; bucket >= 0; bucket -= 1) {
    slowest += monolith[bucket]! + service[bucket]!;
    slowestOfService += service[bucket]!;
    if (slowest >= (ofMonolith + ofService) / 100) break;
  }
  return fisherTail(ofMonolith + ofService, slowest, ofService, slowestOfService);
};

/** What keeps figures that prove nothing bad from being good. */
const lackingFor = ({ monolith, service, mismatches }: BothSides, bounds: CanaryBounds, percent: number): string[] => {
  const { maxErrorRate, minSamples, maxMismatchRate } = bounds;
  const lacks: string[] = [];
  const compared = percent === 100 ? [] : [['monolith', monolith] as const];
  for (const [name, { requests }] of [['service', service] as const, ...compared]) {
    if (requests < minSamples)
      lacks.push(`${minSamples - requests} more reads at the ${name} (${requests} of ${minSamples})`);
  }
  if (lacks.length > 0) return lacks;
  const errorBound = Math.max(maxErrorRate, rateOf(monolith));
  if (rateOf(service) > errorBound) {
    lacks.push(
      `more reads: ${tellErrors(service)} is over ${percents(errorBound)}, and too few to prove it either way`,
    );
  }
  if (maxMismatchRate !== null && mismatchRate(mismatches) > maxMismatchRate) {
    lacks.push(
      `more comparisons: ${tellMismatches(mismatches)} differed, over ${percents(maxMismatchRate)}, and too few to prove it either way`,
    );
  }
  const p99Bound = p99Of(monolith) * allowedRatio(monolith, bounds);
  if (sumOf(monolith.latency) >= minSamples && p99Of(service) > p99Bound) {
    lacks.push(
      `more reads: a p99 of ${milliseconds(p99Of(service))} is over ${milliseconds(p99Bound)}, the monolith's being ${milliseconds(p99Of(monolith))}, and too few to prove it either way`,
    );
  }
  return lacks;
};

const tell = ({ monolith, service, mismatches }: BothSides): string =>
  `service ${tellErrors(service)} failed, p99 ${milliseconds(p99Of(service))}; monolith ${tellErrors(monolith)} failed, p99 ${milliseconds(p99Of(monolith))}${mismatches.compared === 0 ? '' : `; ${tellMismatches(mismatches)} differed`}`;

const rateOf = ({ requests, errors }: SideFigures): number => (requests === 0 ? 0 : errors / requests);
const p99Of = ({ latency }: SideFigures): number => quantileMs(latency, 0.99) ?? 0;

const mismatchRate = ({ compared, different }: Mismatches): number => (compared === 0 ? 0 : different / compared);
const tellMismatches = (one: Mismatches): string =>
  `${one.different} of ${one.compared} compared reads (${percents(mismatchRate(one))})`;

const tellErrors = (side: SideFigures): string =>
  `${side.errors} of ${side.requests} reads (${percents(rateOf(side))})`;
const percents = (share: number): string => `${Number((share * 100).toPrecision(3))} %`;
const milliseconds = (ms: number): string => `${Number(ms.toPrecision(3))} ms`;
