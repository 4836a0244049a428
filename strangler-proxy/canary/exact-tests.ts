import { logGamma } from '@strangler/platform/statistics/log-gamma.ts';

const logChoose = (n: number, k: number): number => logGamma(n + 1) - logGamma(k + 1) - logGamma(n - k + 1);

/** Sums `exp(logTermOf(k))` for k from `from` to `to`, which must not grow again once they have become small. */
const sumTail = (from: number, to: number, logTermOf: (k: number) => number): number => {
  let sum = 0;
  let before = 0;
  for (let k = from; k <= to; k += 1) {
    const term = Math.exp(logTermOf(k));
    sum += term;
    if (term <= before && term < sum * 1e-12) break;
    before = term;
  }
  return Math.min(1, sum);
};

/** P(at least `k` of `n`) where each of them has probability `p`: the exact one-sided binomial test. */
export const binomialTail = (n: number, k: number, p: number): number => {
  if (k <= 0 || p >= 1) return 1;
  if (k > n || p <= 0) return 0;
  const mean = n * p;
  if (k <= mean) return 1;
  const [logP, logQ] = [Math.log(p), Math.log1p(-p)];
  return sumTail(k, n, (i) => logChoose(n, i) + i * logP + (n - i) * logQ);
};

/**
 * P(at least `k` of the `marked` fall among the `drawn`) where `drawn` of `total` were drawn at random: the upper tail of the
 * hypergeometric distribution, Fisher's exact test against "more than its share" (R. A. Fisher, The Design of Experiments, 1935).
 */
export const fisherTail = (total: number, marked: number, drawn: number, k: number): number => {
  const most = Math.min(marked, drawn);
  if (k <= Math.max(0, marked + drawn - total)) return 1;
  if (k > most) return 0;
  // At or below its expectation it is no evidence, and the terms would still grow.
  if (k <= (marked * drawn) / total) return 1;
  const all = logChoose(total, drawn);
  return sumTail(k, most, (i) => logChoose(marked, i) + logChoose(total - marked, drawn - i) - all);
};
