import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { FenceOwner } from '@strangler/platform/contracts/fence-refusal.ts';
import { holderText } from '../../fence/fence-holders.ts';
import { NoFenceError, readFence } from '../../fence/fence-state.ts';
import { FenceEpochError, openFence } from '../../fence/move-fence.ts';
import { type CutoverWork, fencePool, StepFailed } from '../cutover-work.ts';

const backoff = { baseMs: 20, capMs: 500 };

/**
 * Opens a side's tables for the side that the flags name, trying again while the database is away or busy: sessions that
 * hold its closed fence, which have written nothing, are ended.
 * @throws StepFailed when it has not been possible for `withinMs`
 */
export async function openSide(
  work: Pick<CutoverWork, 'forward' | 'reverse' | 'author' | 'log'>,
  slice: string,
  side: FenceOwner,
  epoch: number,
  withinMs: number,
): Promise<void> {
  const pool = fencePool(work, side);
  const startedMs = performance.now();
  let delayMs: number | undefined;
  for (;;) {
    let why: string;
    try {
      const move = { slice, epoch, owner: side, waitMs: 1_000, evict: true, reason: work.author.reason };
      const outcome = await openFence(pool, move);
      if (outcome.kind === 'moved') return;
      why = `${outcome.holders?.map(holderText).join(', ') || 'somebody'} holds its fence`;
    } catch (error) {
      if (error instanceof NoFenceError) return;
      if (error instanceof FenceEpochError) {
        const now = await readFence(pool, slice).catch(() => undefined);
        if (now?.state === 'open' && now.owner === side) return;
        throw error;
      }
      why = error instanceof Error ? error.message : String(error);
      work.log.warn({ err: error, slice, side }, 'the fence could not be opened; trying on');
    }
    if (performance.now() - startedMs > withinMs)
      throw new StepFailed(`the ${side}'s tables could not be opened: ${why}`);
    delayMs = nextBackoffMs(delayMs, backoff);
    await pause(delayMs);
  }
}
