import type { FuzzReport } from '@strangler/migrations/parity/fuzz/fuzz.ts';
import { atLeast, atMost, type Bound } from '../../demo/bounds.ts';
import type { Progress } from '../../demo/progress.ts';
import { fuzzSlice } from '../../parity/slices/fuzz-slice.ts';
import type { FuzzedSlice } from '../../parity/slices/pairs.ts';

export type SoakFuzzSliceOptions = {
  slice: FuzzedSlice;
  seed: number;
  /** Sequences of 30 steps at most. */
  runs: number;
  progress: Progress;
  signal: AbortSignal;
};

/** Fuzzes the shop and one service as they are, which must find nothing. */
export const soakFuzzSlice = async ({
  progress,
  ...options
}: SoakFuzzSliceOptions): Promise<FuzzReport & { ok: boolean; bounds: Bound[] }> => {
  const report = await fuzzSlice({ ...options, say: progress.say });
  const bounds = [
    atLeast('requests compared', report.steps, options.runs * 10),
    atMost('differences between the two', report.found === null ? 0 : 1, 0),
  ];
  return { ...report, ok: bounds.every(({ ok }) => ok), bounds };
};
