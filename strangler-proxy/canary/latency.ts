import { latencyBuckets } from '@strangler/platform/contracts/canary.ts';

const { count, firstMs, growth } = latencyBuckets;
const logGrowth = Math.log(growth);

/** The bucket of a latency in milliseconds. */
export const bucketOfLatency = (ms: number): number =>
  ms <= firstMs ? 0 : Math.min(count - 1, Math.ceil(Math.log(ms / firstMs) / logGrowth - 1e-9));

export const sumOf = (latency: readonly number[]): number => latency.reduce((sum, one) => sum + one, 0);

/** A quantile (0 to 1) in milliseconds, interpolated within its bucket: off by less than the bucket's 20 %. Null without answers. */
export const quantileMs = (latency: readonly number[], quantile: number): number | null => {
  const total = sumOf(latency);
  if (total === 0) return null;
  const rank = quantile * total;
  let below = 0;
  for (let bucket = 0; bucket < latency.length; bucket += 1) {
    const here = latency[bucket]!;
    if (here > 0 && below + here >= rank) {
      const share = (rank - below) / here;
      return bucket === 0 ? firstMs * share : firstMs * growth ** (bucket - 1 + share);
    }
    below += here;
  }
  return firstMs * growth ** (count - 1);
};

/** The same answers, each at least `ratio` times as fast: by whole buckets, rounded so that the side is favoured. */
export const fasterBy = (latency: readonly number[], ratio: number): number[] => {
  const buckets = Math.ceil(Math.log(ratio) / logGrowth - 1e-9);
  const faster = new Array<number>(latency.length).fill(0);
  latency.forEach((here, bucket) => {
    faster[Math.max(0, bucket - buckets)]! += here;
  });
  return faster;
};
