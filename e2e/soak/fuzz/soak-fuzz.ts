import { faults as planted } from '@strangler/catalog/faults/faults.ts';
import { type FuzzReport, fuzz } from '@strangler/migrations/parity/fuzz/fuzz.ts';
import { atLeast, atMost, type Bound } from '../../demo/bounds.ts';
import type { Progress } from '../../demo/progress.ts';
import { startFuzzPair } from '../../parity/fuzz-pair.ts';
import { type FaultFound, findFault } from './find-fault.ts';

export type SoakFuzzOptions = {
  seed: number;
  /** Sequences of 30 steps at most against the two as they are. */
  runs: number;
  progress: Progress;
  signal: AbortSignal;
};

export type SoakFuzzReport = {
  ok: boolean;
  bounds: Bound[];
  healthy: Pick<FuzzReport, 'seed' | 'runs' | 'steps' | 'coverage' | 'found'>;
  faults: FaultFound[];
};

/** Sequences that one planted fault may go unseen for. */
const runsPerFault = 250;

/** Fuzzes the two as they are, which must find nothing; then with one fault after the other planted, which must find each. */
export async function soakFuzz({ seed, runs, progress, signal }: SoakFuzzOptions): Promise<SoakFuzzReport> {
  const two = await startFuzzPair('soakfuzz');
  try {
    const healthy = await fuzz({
      ...{ running: two.running, seed, runs, stepsPerRun: 30, withinMs: null, signal },
      onRun: ({ run, steps }) => {
        if (run % 20 === 0) progress.say(`${run} of ${runs} sequences, ${steps} requests to each side, no difference`);
      },
    });
    if (healthy.found) progress.say(`found: ${healthy.found.text}`);
    const faults: FaultFound[] = [];
    for (const fault of Object.keys(planted)) {
      if (signal.aborted) break;
      const found = await findFault(two, fault, { seed, runs: runsPerFault, withinMs: 600_000 });
      faults.push(found);
      progress.say(
        `${fault}: ${found.outcome} after ${found.requests} requests, ${found.steps} steps, ${found.paths[0] ?? 'nothing'} (${found.seconds} s)`,
      );
    }
    const bounds = [
      atLeast('requests compared with nothing planted', healthy.steps, runs * 10),
      atMost('differences between the two as they are', healthy.found === null ? 0 : 1, 0),
      atLeast(
        'planted faults that were found where they are',
        faults.filter(({ outcome }) => outcome === 'found').length,
        Object.keys(planted).length,
      ),
      atMost('steps of the longest sequence that shows one', Math.max(...faults.map(({ steps }) => steps)), 10),
    ];
    return { ok: bounds.every(({ ok }) => ok), bounds, healthy, faults };
  } finally {
    await two.stop();
  }
}
