import { pause } from '@strangler/platform/backoff.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { OperatorEnvironment } from '@strangler/stack/system/stage.ts';
import type { Progress } from '../progress.ts';
import { runStrangler } from '../strangler.ts';

const canaryWithinMs = 120_000;

/** Waits until the canary has come to 100 % by itself and has baked there; the percentages that it took. */
export const followCanary = async (
  { slice, flag, environment }: { slice: string; flag(): Promise<FlagDocument>; environment: OperatorEnvironment },
  progress: Progress,
  signal: AbortSignal,
): Promise<number[]> => {
  const steps: number[] = [];
  const deadline = performance.now() + canaryWithinMs;
  for (;;) {
    signal.throwIfAborted();
    const { reads, change } = await flag();
    const { percent } = reads;
    // Lowered, it goes on only when somebody says so.
    if (percent < (steps.at(-1) ?? 0)) throw new Error(`the canary stepped back: ${change.reason}`);
    if (steps.at(-1) !== percent) {
      steps.push(percent);
      progress.say(`  canary at ${percent} %`);
    }
    const late = performance.now() > deadline;
    // Each question is a process of its own, and before its last step no canary is baked.
    if (percent < 100 && !late) {
      await pause(250, signal);
      continue;
    }
    const [report] = (await runStrangler(['status', slice], { environment, signal })) as [
      { canary: { state: string; why: string; lacks: string[] } | null },
    ];
    if (report.canary?.state === 'baked') return steps;
    if (late) {
      const { state, why, lacks } = report.canary ?? { state: 'unknown', why: 'nobody steers', lacks: [] };
      throw new Error(`the canary is not baked at 100 %: ${percent} %, ${state}: ${why} ${lacks.join('; ')}`);
    }
    await pause(500, signal);
  }
};
