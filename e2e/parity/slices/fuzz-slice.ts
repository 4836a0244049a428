import { type FuzzReport, fuzz } from '@strangler/migrations/parity/fuzz/fuzz.ts';
import { type FuzzedSlice, slicePairs } from './pairs.ts';

export type FuzzSliceOptions = {
  slice: FuzzedSlice;
  seed: number;
  /** Sequences of 30 steps at most. */
  runs: number;
  say: (line: string) => void;
  signal: AbortSignal;
};

/** Puts shop and service beside each other, sends both the same made-up sequences, and takes them away again. Needs TEST_STACK. */
export async function fuzzSlice({ slice, seed, runs, say, signal }: FuzzSliceOptions): Promise<FuzzReport> {
  const pair = await slicePairs[slice]('fuzz');
  try {
    return await fuzz({
      ...{ running: pair.running, seed, runs, stepsPerRun: 30, withinMs: null, signal },
      onRun: ({ run, steps }) => {
        if (run % 10 === 0) say(`${slice}: ${run} of ${runs} sequences, ${steps} requests to each side`);
      },
      onFound: ({ differences }) => say(`${slice}: found ${differences[0]?.path}; making it short`),
    });
  } finally {
    await pair.stop();
  }
}
