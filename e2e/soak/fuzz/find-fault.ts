import { faults } from '@strangler/catalog/faults/faults.ts';
import { fuzz } from '@strangler/migrations/parity/fuzz/fuzz.ts';
import { runScenario } from '@strangler/migrations/parity/run-scenario.ts';
import type { FuzzPair } from '../../parity/fuzz-pair.ts';

/** Whether one planted fault was seen, and what was shown of it. */
export type FaultFound = {
  fault: string;
  says: string;
  /** The fuzzer found a difference, it was where the fault is, and the sequence that was kept shows it again and goes away with the fault. */
  outcome: 'found' | 'not found' | 'found elsewhere' | 'not shown again';
  paths: string[];
  /** Of the sequence that shows it, after it was made short. */
  steps: number;
  /** Requests until it was seen. */
  requests: number;
  tries: number;
  seconds: number;
};

/** Plants one fault and fuzzes until it is found, at most so many sequences. */
export async function findFault(
  { running, plant }: FuzzPair,
  fault: string,
  { seed, runs, withinMs }: { seed: number; runs: number; withinMs: number },
): Promise<FaultFound> {
  const { says, seenAt } = faults[fault]!;
  const beganMs = performance.now();
  // What a fault keeps between requests must not outlive a try.
  const reset = async () => {
    await running.reset();
    await plant(fault);
  };
  try {
    await plant(fault);
    const report = await fuzz({ running: { ...running, reset }, seed, runs, stepsPerRun: 30, withinMs });
    const { found } = report;
    const told = { fault, says, paths: found?.paths ?? [], requests: report.steps, tries: found?.tries ?? 0 };
    const seconds = () => Math.round((performance.now() - beganMs) / 100) / 10;
    if (!found) return { ...told, outcome: 'not found', steps: 0, seconds: seconds() };
    const steps = found.scenario.steps.length;
    if (!found.paths.some((path) => seenAt.test(path)))
      return { ...told, outcome: 'found elsewhere', steps, seconds: seconds() };
    const tokens = { ...running.tokens, bad: 'not.a.token' };
    await reset();
    const again = await runScenario(found.scenario, running, tokens);
    await plant(null);
    await running.reset();
    const healthy = await runScenario(found.scenario, running, tokens);
    const isShown = again.outcome === 'different' && healthy.outcome === 'same';
    return { ...told, outcome: isShown ? 'found' : 'not shown again', steps, seconds: seconds() };
  } finally {
    await plant(null);
  }
}
