// Lanczos's approximation with g = 7 and nine terms, good to fifteen digits for arguments above a half.
const lanczos = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** Natural logarithm of the gamma function for x ≥ 1/2. */
export const logGamma = (x: number): number => {
  let sum = lanczos[0]!;
  for (let at = 1; at < lanczos.length; at += 1) sum += lanczos[at]! / (x - 1 + at);
  const t = x + 6.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
};
