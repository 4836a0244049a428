import { holderText } from '../../fence/fence-holders.ts';
import { closeFence } from '../../fence/move-fence.ts';
import { type CutoverPipes, type CutoverWork, fencePool, msText, StepFailed } from '../cutover-work.ts';

/**
 * Closes the old owner's tables: when it returns, every transaction that had written to them has ended.
 * @returns what it waited for
 * @throws StepFailed naming who has a transaction open
 */
export async function fence(
  work: CutoverWork,
  { slice, from, to }: Pick<CutoverPipes, 'slice' | 'from' | 'to'>,
  epoch: number,
  fenceMs: number,
): Promise<string> {
  const outcome = await closeFence(fencePool(work, from), {
    slice,
    epoch,
    owner: to,
    waitMs: fenceMs,
    reason: work.author.reason || `cut-over to the ${to}`,
  });
  if (outcome.kind === 'moved') {
    const unseen = outcome.preparedSeen
      ? ''
      : ', without a look at prepared XA transactions, for want of the privilege';
    return `transactions under way to end${unseen}`;
  }
  const who =
    outcome.holders === null
      ? 'transactions that this account may not see'
      : outcome.holders.map(holderText).join(', ') || 'transactions that have just ended';
  throw new StepFailed(`${who} kept the ${from}'s tables from being closed within ${msText(fenceMs)}`);
}
