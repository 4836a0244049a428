import type { CutoverFindings } from '../../checker/check-cutovers.ts';

export type CountedFindings = Omit<CutoverFindings, 'counterexamples'>;

/** What was found in two runs that the checker has judged apart. */
export const sumFindings = (one: CountedFindings, other: CountedFindings): CountedFindings => ({
  ok: one.ok && other.ok,
  operations: one.operations + other.operations,
  keys: one.keys + other.keys,
  acknowledged: sumCounts(one.acknowledged, other.acknowledged),
  refused: sumCounts(one.refused, other.refused),
  unknown: sumCounts(one.unknown, other.unknown),
  differing: one.differing + other.differing,
  unexplained: one.unexplained + other.unexplained,
  notLinearisable: one.notLinearisable + other.notLinearisable,
  bothOwners: one.bothOwners + other.bothOwners,
  staleOwnReads: one.staleOwnReads + other.staleOwnReads,
  reads: sumCounts(one.reads, other.reads),
});

const sumCounts = <T extends Record<string, number>>(one: T, other: T): T =>
  Object.fromEntries(Object.entries(one).map(([name, count]) => [name, count + (other[name] ?? 0)])) as T;
