import { setEpoch } from '../../capture/capture-state.ts';
import { raiseAutoIncrement } from '../../fence/raise-auto-increment.ts';
import type { CutoverPipes } from '../cutover-work.ts';
import type { AllotterPair } from './prepare.ts';

/**
 * Puts the pipe back under the epoch of the new owner, and sees that its keys are above the old one's, which gives out no
 * more of them. @returns what it did
 */
export async function arm(
  { back }: Pick<CutoverPipes, 'back'>,
  allotters: readonly AllotterPair[],
  epoch: number,
): Promise<string> {
  const epochSet = setEpoch(back.source.write, back.slice.slice, epoch);
  const raises = await Promise.all(allotters.map(({ to, from }) => raiseAutoIncrement(to, from, 0n)));
  await epochSet;
  const raised = raises.filter(({ done }) => done === 'raised').map(({ table }) => table);
  return raised.length === 0 ? 'keys are far enough apart' : `keys of ${raised.join(', ')} raised again`;
}
