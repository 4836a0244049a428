import { pause } from '@strangler/platform/backoff.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { Progress } from '../../demo/progress.ts';
import { type CoordinatorEnd, coordinate } from './coordinator.ts';
import { type CutoverFault, nameOf } from './cutover-faults.ts';
import { type Rig, slice } from './rig.ts';

/** What it took to move the ownership once. */
export type Move = { to: 'monolith' | 'service'; fault: string | null; attempts: number; resumed: number };

export type MoveOptions = {
  rig: Rig;
  /** What goes wrong at the first attempt. */
  fault: CutoverFault | null;
  /** How long what has died stays away. */
  awayMs: number;
  progress: Progress;
  signal: AbortSignal;
};

/** In which the ownership must have moved, with all that dies on the way back again. */
const movedWithinMs = 180_000;
const retryMs = 500;

/**
 * Moves the ownership of the writes to the other side, as an operator does: by `advance` or `rollback`, again where it
 * was called off, and by `resume` where the coordinator has died or could not end what it had begun.
 */
export const moveOwner = async ({ rig, fault, awayMs, progress, signal }: MoveOptions): Promise<Move> => {
  const { owner } = (await rig.flag()).writes;
  if (owner === 'held')
    throw new Error(`expected an owner of the writes, found that they are held before the cut-over`);
  const to = owner === 'monolith' ? 'service' : 'monolith';
  const words = [to === 'service' ? 'advance' : 'rollback', slice, '--reason', 'the soak'];
  const move: Move = { to, fault: fault === null ? null : nameOf(fault), attempts: 0, resumed: 0 };
  const deadline = performance.now() + movedWithinMs;
  const trouble = fault?.kind === 'other' ? startTrouble(fault, awayMs) : null;

  for (;;) {
    move.attempts += 1;
    const isFirst = move.attempts === 1;
    const end = await coordinate(words, {
      environment: rig.environment,
      signal,
      ...(isFirst && fault?.kind === 'coordinator' ? { killAt: fault.step } : {}),
      ...(isFirst && trouble !== null ? { onStep: trouble.onStep } : {}),
    });
    if (isFirst) await trouble?.over();
    if (end.outcome === 'killed' || end.outcome === 'failed') move.resumed += await resume(rig, end, deadline, signal);
    const now = await eventually(() => rig.flag(), { withinMs: 30_000 });
    if (now.writes.owner === to) return move;
    if (now.writes.owner === 'held') throw new Error(`the writes are held and nobody moves them: ${lastWords(end)}`);
    progress.say(`  not moved to the ${to} yet: ${lastWords(end)}`);
    if (performance.now() > deadline)
      throw new Error(`expected the ${to} to own the writes within ${movedWithinMs} ms: ${lastWords(end)}`);
    await pause(retryMs, signal);
  }
};

/** Begins the fault when its step begins; `over` when it is mended, or has never begun. */
const startTrouble = ({ step, fault }: Extract<CutoverFault, { kind: 'other' }>, awayMs: number) => {
  let mended: Promise<void> | null = null;
  const goWrong = async () => {
    await fault.begin();
    await pause(awayMs);
    await fault.end();
  };
  return {
    onStep: (begun: string): void => {
      if (begun !== step || mended !== null) return;
      mended = goWrong();
      mended.catch(() => {});
    },
    over: async () => {
      await mended;
    },
  };
};

/** Resumes until that has an answer; how many times it did something. */
const resume = async (rig: Rig, before: CoordinatorEnd, deadline: number, signal: AbortSignal): Promise<number> => {
  for (let last = before; ; ) {
    const end = await coordinate(['resume', slice], { environment: rig.environment, signal });
    if (end.outcome === 'done') return end.said.includes('"outcome":"nothing"') ? 0 : 1;
    // Nothing was begun, or what was begun is called off now.
    if (end.outcome === 'refused') return 0;
    last = end;
    if (performance.now() > deadline) throw new Error(`strangler resume came to no end: ${lastWords(last)}`);
    await pause(retryMs, signal);
  }
};

const lastWords = ({ outcome, status, said }: CoordinatorEnd): string =>
  `${outcome} (${status}): ${said.split('\n').slice(-3).join(' / ').slice(-600)}`;
