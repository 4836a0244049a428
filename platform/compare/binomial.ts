import { logGamma } from '../statistics/log-gamma.ts';

/** A share with bounds that hold it with a stated confidence. */
export type ShareBounds = { low: number; high: number };

/**
 * Exact bounds of a share after `hits` of `trials` (Clopper and Pearson 1934): each of the two is wrong with a probability of
 * at most `alpha`, whatever the true share is.
 */
export const shareBounds = (hits: number, trials: number, alpha: number): ShareBounds => ({
  // The bounds are quantiles of beta distributions, found by halving: after 40 steps they are known to twelve digits.
  low: hits === 0 ? 0 : quantile(hits, trials - hits + 1, alpha),
  high: hits === trials ? 1 : quantile(hits + 1, trials - hits, 1 - alpha),
});

const quantile = (a: number, b: number, probability: number): number => {
  let [low, high] = [0, 1];
  for (let step = 0; step < 40; step += 1) {
    const middle = (low + high) / 2;
    if (incompleteBeta(middle, a, b) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
};

/** The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22, Lentz's method). */
export const incompleteBeta = (x: number, a: number, b: number): number => {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast on this side only; the function is symmetric.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) + logGamma(a + b) - logGamma(a) - logGamma(b)) / a;
  const tiny = 1e-300;
  let c = 1;
  let d = 1 / nonZero(1 - ((a + b) * x) / (a + 1), tiny);
  let fraction = d;
  for (let m = 1; m <= 500; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonZero(1 + even * d, tiny);
    c = nonZero(1 + even / c, tiny);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonZero(1 + odd * d, tiny);
    c = nonZero(1 + odd / c, tiny);
    const change = d * c;
    fraction *= change;
    if (Math.abs(change - 1) < 1e-14) break;
  }
  return front * fraction;
};

const nonZero = (value: number, tiny: number): number => (Math.abs(value) < tiny ? tiny : value);
