import { latencyBuckets, type PackedSideFigures } from '@strangler/platform/contracts/canary.ts';

/** Reads of one side: how many, how many failed, and the answers by the bucket of their latency. */
export type SideFigures = { requests: number; errors: number; latency: number[] };

/** Reads whose two answers were compared, and those of them that differed without an excuse. */
export type Mismatches = { compared: number; different: number };

/** Both sides over one span of time. */
export type BothSides = { monolith: SideFigures; service: SideFigures; mismatches: Mismatches };

export const noFigures = (): SideFigures => ({
  requests: 0,
  errors: 0,
  latency: new Array<number>(latencyBuckets.count).fill(0),
});

export const noneOfBoth = (): BothSides => ({
  monolith: noFigures(),
  service: noFigures(),
  mismatches: { compared: 0, different: 0 },
});

export const addFigures = (to: SideFigures, more: SideFigures): void => {
  to.requests += more.requests;
  to.errors += more.errors;
  for (let at = 0; at < to.latency.length; at += 1) to.latency[at]! += more.latency[at] ?? 0;
};

export const addBoth = (to: BothSides, more: BothSides): void => {
  addFigures(to.monolith, more.monolith);
  addFigures(to.service, more.service);
  to.mismatches.compared += more.mismatches.compared;
  to.mismatches.different += more.mismatches.different;
};

/** Only the buckets that hold something, as they stand in Consul. */
export const packFigures = ({ requests, errors, latency }: SideFigures): PackedSideFigures => ({
  requests,
  errors,
  latency: latency.flatMap((count, bucket) => (count === 0 ? [] : [bucket, count])),
});

export const unpackFigures = ({ requests, errors, latency }: PackedSideFigures): SideFigures => {
  const figures = { ...noFigures(), requests, errors };
  for (let at = 0; at + 1 < latency.length; at += 2) {
    const bucket = latency[at]!;
    if (bucket < latencyBuckets.count) figures.latency[bucket]! += latency[at + 1]!;
  }
  return figures;
};
