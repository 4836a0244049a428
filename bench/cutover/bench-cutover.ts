import { pauseOf, stepsOf } from '@strangler/e2e/checker/pauses.ts';
import { createProgress } from '@strangler/e2e/demo/progress.ts';
import { moveOwner } from '@strangler/e2e/soak/cutover/move-owner.ts';
import { openRig } from '@strangler/e2e/soak/cutover/rig.ts';
import { type Spread, spreadOf } from '@strangler/e2e/soak/cutover/soak-cutover.ts';
import { pause } from '@strangler/platform/backoff.ts';

export type BenchCutoverOptions = {
  cutovers: number;
  writesPerSecond: number;
  say: (line: string) => void;
  signal: AbortSignal;
};

export type BenchCutoverReport = {
  table: string;
  json: {
    bench: 'cutover';
    cutovers: number;
    /** Of each cut-over, the longest time in which no client had a write acknowledged. */
    writePauseMs: Spread;
    /** Requests that were not answered as they should have been. */
    failed: number;
    /** How long each step took, in milliseconds. */
    steps: Record<string, Spread>;
  };
};

const instanceName = 'bench-cutover';
/** Traffic before the first cut-over, and between two of them. */
const warmUpMs = 5_000;
const betweenMs = 1_000;

/** Moves the ownership of writes there and back under clients who write at an even rate, and tells how long they waited. */
export const benchCutover = async (options: BenchCutoverOptions): Promise<BenchCutoverReport> => {
  const { cutovers, writesPerSecond, say, signal } = options;
  const progress = createProgress((text) => say(text.trimEnd()));
  const rig = await openRig({
    ...{ instance: process.env.STACK_INSTANCE ?? instanceName, products: 500, seed: 1, progress, signal },
    ...{ checkedProducts: 200, merchants: 60, reviewers: 4, readShare: 0, strays: false },
    requestsPerSecond: writesPerSecond,
  });
  try {
    rig.startTraffic();
    await pause(warmUpMs, signal);
    for (let moved = 0; moved < cutovers; moved += 1) {
      const { to, attempts } = await moveOwner({ rig, fault: null, awayMs: 0, progress, signal });
      const { total, failed } = rig.keeper.tally();
      progress.say(
        `${moved + 1}: the ${to} owns the writes after ${attempts} attempts; ${total} writes, ${failed} failed so far`,
      );
      await pause(betweenMs, signal);
      signal.throwIfAborted();
    }
    await rig.stopTraffic();
    const findings = await rig.judge();
    for (const words of findings.counterexamples) say(`FOUND ${words}`);
    const history = rig.history();
    const journals = (await rig.journals()).filter(({ outcome }) => outcome === 'done');
    const pauses = journals.flatMap((journal) => pauseOf(journal, history) ?? []);
    const { failed, failures, durationsMs } = rig.keeper.tally();
    for (const { action, failure } of failures.slice(0, 5)) say(`failed: ${action}: ${failure}`);
    const json: BenchCutoverReport['json'] = {
      bench: 'cutover',
      cutovers: journals.length,
      writePauseMs: spreadOf(pauses.map(({ gapMs }) => gapMs)),
      failed,
      steps: Object.fromEntries(stepsOf(journals).map(({ step, tookMs }) => [step, spreadOf(tookMs)])),
    };
    const times = history.filter(({ op }) => op === 'patch price').map(({ invokedAtMs }) => invokedAtMs);
    const tookS = (Math.max(...spanOf(times)) - Math.min(...spanOf(times))) / 1_000;
    return {
      table: tableOf(json, {
        perSecond: Math.round(durationsMs.length / tookS),
        writeMs: spreadOf(durationsMs),
        longestMs: spreadOf(pauses.map(({ longestWriteMs }) => longestWriteMs)),
        acknowledged: findings.acknowledged,
        whole: findings.ok,
      }),
      json,
    };
  } finally {
    await rig.close();
  }
};

/** The first and the last of times that come in order. */
const spanOf = (times: readonly number[]): [number, number] => [times[0] ?? 0, times.at(-1) ?? 0];

type Beside = {
  perSecond: number;
  writeMs: Spread;
  longestMs: Spread;
  acknowledged: { total: number; missing: number; doubled: number };
  whole: boolean;
};

const tableOf = ({ cutovers, writePauseMs, failed, steps }: BenchCutoverReport['json'], beside: Beside): string => {
  const line = (what: string, { p50, p99, max }: Spread, goal = '') =>
    `${what.padEnd(44)} ${[p50, p99, max].map((value) => value.toFixed(1).padStart(9)).join(' ')}  ${goal}`.trimEnd();
  const { total, missing, doubled } = beside.acknowledged;
  return [
    `${cutovers} cut-overs at ${beside.perSecond} writes/s, ${failed} requests failed`,
    `${''.padEnd(44)} ${['p50', 'p99', 'max'].map((name) => name.padStart(9)).join(' ')}  ms`,
    line('no write acknowledged for, a cut-over', writePauseMs, 'goal p99 100'),
    line('longest write meanwhile, a cut-over', beside.longestMs),
    ...Object.entries(steps).map(([step, spread]) => line(`  ${step}`, spread)),
    line('every write, also between cut-overs', beside.writeMs),
    `${total} acknowledged writes, ${missing} missing, ${doubled} done twice; ${beside.whole ? 'both sides are whole' : 'NOT WHOLE, see above'}`,
  ].join('\n');
};
