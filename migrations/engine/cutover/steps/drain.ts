import { countParked } from '../../apply/parked.ts';
import type { MappedTable } from '../../apply/row-shape.ts';
import { readLag } from '../../pipe/lag.ts';
import { changesText, newestInRange, untilApplied } from '../applied.ts';
import { type CutoverPipes, msText, StepFailed } from '../cutover-work.ts';
import { stoppedText } from './hold.ts';

const lookEveryMs = 2;

/**
 * Waits until the new owner's database has everything that was written above `floor`, which is all that it may lack: the
 * old owner's tables are closed, so what is committed now is all there will be.
 * @returns how many rows there were
 * @throws StepFailed saying what is not there in time
 */
export async function drain(
  { pipe }: Pick<CutoverPipes, 'pipe'>,
  moving: readonly MappedTable[],
  floor: string,
  { drainMs, signal }: { drainMs: number; signal: AbortSignal },
): Promise<number> {
  const changes = await newestInRange(pipe, moving, { above: floor, upTo: null });
  const late = await untilApplied(pipe, changes, { withinMs: drainMs, lookEveryMs, signal });
  if (late.length === 0) return changes.length;
  if (signal.aborted) throw new StepFailed(stoppedText);
  const lag = await readLag(pipe.source.read, pipe.target.read, pipe.slice.slice);
  const targets = moving.map(({ mapping }) => mapping.target);
  const parked = [...(await countParked(pipe.target.read, targets)).values()].reduce((sum, n) => sum + n, 0);
  throw new StepFailed(
    `${changesText(late)} not applied within ${msText(drainMs)} (${lag.unpublished} changes not published, ${lag.unapplied} not applied, ${parked} parked)`,
  );
}
