import fc from 'fast-check';
import type { ApiOperation } from '../../openapi/operation.ts';
import { describeDifferences, describeRequest } from '../describe.ts';
import { runScenario } from '../run-scenario.ts';
import type { Scenario, ScenarioStep } from '../scenario.ts';
import { renumber, stepsIn } from '../template.ts';
import { badRole, badToken } from './make-request.ts';
import type { StepPlan } from './plan.ts';
import { planSequences } from './plan-steps.ts';
import { type Found, type Running, runPlan } from './run-plan.ts';
import { shrink } from './shrink.ts';

export type FuzzOptions = {
  running: Running;
  /** The same seed gives the same plans. */
  seed: number;
  /** Sequences at most. */
  runs: number;
  /** Steps that a sequence is planned with at most. */
  stepsPerRun: number;
  /** No new sequence begins after this time, in ms; null: only their number counts. */
  withinMs: number | null;
  /** Sequences that are tried to make one shorter, 150 unless told. */
  mostTries?: number;
  signal?: AbortSignal;
  onRun?(done: { run: number; steps: number }): void;
  onFound?(found: Found): void;
};

export type FuzzReport = {
  seed: number;
  runs: number;
  /** Requests that were sent to each side and compared, those of shrinking not counted. */
  steps: number;
  /** Answers of the left side by operation and status: what was not tried shows. */
  coverage: Record<string, Record<string, number>>;
  found: FoundReport | null;
};

export type FoundReport = {
  /** In which sequence, from 1. */
  run: number;
  /** What differs, as all answers of the route have it, such as `$.items[*].price_cents`. */
  paths: string[];
  text: string;
  /** The shortest sequence that shows it. */
  scenario: Scenario;
  tries: number;
};

/**
 * Sends sequences of requests that it makes up to both sides until they differ, and makes what differs short. Every sequence
 * begins with `reset`, for one that begins with what another has left is not the same sequence when it is tried again.
 */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const { running, seed, runs, stepsPerRun, withinMs, mostTries = 150, signal } = options;
  const beganMs = performance.now();
  const coverage: FuzzReport['coverage'] = {};
  const counted: Running = {
    ...running,
    onStep: ({ method, path }, status) => {
      const name = `${method} ${path}`;
      const statuses = coverage[name] ?? {};
      coverage[name] = { ...statuses, [status]: (statuses[status] ?? 0) + 1 };
    },
  };
  const report: FuzzReport = { seed, runs: 0, steps: 0, coverage, found: null };

  for (const plans of sequences(running.operations, { seed, runs, stepsPerRun })) {
    const isOver = withinMs !== null && performance.now() - beganMs > withinMs;
    if (isOver || signal?.aborted) break;
    const { steps, found } = await runPlan(plans, counted);
    report.runs += 1;
    report.steps += steps;
    options.onRun?.({ run: report.runs, steps: report.steps });
    if (found === null) continue;
    options.onFound?.(found);
    report.found = await makeShort(plans, found, { running, mostTries, seed, run: report.runs });
    break;
  }
  return report;
}

/** In parts, so that the first one does not wait for all to be made. */
function* sequences(
  operations: readonly ApiOperation[],
  { seed, runs, stepsPerRun }: { seed: number; runs: number; stepsPerRun: number },
): Generator<StepPlan[]> {
  const arbitrary = planSequences(operations, stepsPerRun);
  const atOnce = 10;
  for (let made = 0; made < runs; made += atOnce) {
    yield* fc.sample(arbitrary, { seed: seed + made, numRuns: Math.min(atOnce, runs - made) });
  }
}

async function makeShort(
  plans: readonly StepPlan[],
  first: Found,
  { running, mostTries, seed, run }: { running: Running; mostTries: number; seed: number; run: number },
): Promise<FoundReport> {
  const wanted = new Set(first.differences.map(({ path }) => path));
  const attempt = async (candidate: readonly StepPlan[]): Promise<Found | null> => {
    const { found } = await runPlan(candidate, running);
    // Another difference would be another finding.
    return found?.differences.some(({ path }) => wanted.has(path)) ? found : null;
  };
  const { found, tries } = await shrink(plans, first, attempt, mostTries);
  const [left, right] = running.sides;
  const paths = [...new Set(found.differences.map(({ path }) => path))];
  const differences = describeDifferences(found.differences, [left.name, right.name]);
  const steps = await neededSteps(found, running);
  const { method, path } = steps.at(-1) as ScenarioStep;
  const route = path.split('?')[0]?.replace(/\$\{[^}]+\}/g, ':id');
  const name = `${method} ${route}: ${paths.slice(0, 3).join(', ')}`;
  return {
    run,
    paths,
    text: `${describeRequest(found.request)}\n${differences}`,
    scenario: { name: name.slice(0, 300), found: differences.split('\n'), seed, steps },
    tries,
  };
}

/** Without those first reads whose answers nothing later builds on, if it shows the same without them. */
async function neededSteps({ steps, firstReads, differences }: Found, running: Running): Promise<ScenarioStep[]> {
  const later = steps.slice(firstReads);
  const used = new Set(later.flatMap((step) => stepsIn(step)));
  const kept = steps.map((_, at) => at + 1).filter((at) => at > firstReads || used.has(at) || at === steps.length);
  const numbers = new Map(kept.map((old, at) => [old, at + 1]));
  const fewer = kept.map((at) => renumber(steps[at - 1] as ScenarioStep, numbers));
  await running.reset();
  const run = await runScenario({ name: 'shorter', steps: fewer }, running, { ...running.tokens, [badRole]: badToken });
  const same = run.outcome === 'different' && run.differences[0]?.path === differences[0]?.path;
  return same ? fewer : steps;
}
