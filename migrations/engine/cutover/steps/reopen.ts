import { fenceTable, readFence } from '../../fence/fence-state.ts';
import { openFence } from '../../fence/move-fence.ts';
import { type Queryable, rowsOf } from '../../schema/queryable.ts';
import { type CutoverWork, fencePool } from '../cutover-work.ts';
import type { Side } from '../journal.ts';
import { openSide } from './release.ts';

/** How long a fence that is open may keep a calling off: its epoch is raised where nobody is in the way. */
const raiseMs = 100;

/**
 * Opens the tables of a side that was about to give them up, under an epoch above that of the attempt. A fence that was
 * never closed is not waited for: whoever kept it from being closed would keep clients waiting too.
 * @throws StepFailed when a closed one could not be opened for `withinMs`
 */
export async function reopen(
  work: Pick<CutoverWork, 'forward' | 'reverse' | 'author' | 'log'>,
  slice: string,
  side: Side,
  epoch: number,
  withinMs: number,
): Promise<void> {
  const pool = fencePool(work, side);
  await endLeftOverMoves(pool, slice);
  const fence = await readFence(pool, slice);
  if (fence === undefined || fence.epoch >= epoch) {
    if (fence?.state !== 'closed') return;
  } else if (fence.state === 'open') {
    const outcome = await openFence(pool, { slice, epoch, owner: side, waitMs: raiseMs, reason: fence.reason });
    if (outcome.fence.state === 'open') return;
  }
  await openSide(work, slice, side, epoch, withinMs);
}

/**
 * Ends the statements by which a coordinator that is dead would still move the slice's fence: the server goes on with
 * what waits for a lock though nobody is there to hear of it. Whoever calls this has the slice's operation lock.
 */
async function endLeftOverMoves(db: Queryable, slice: string): Promise<void> {
  const sessions = await rowsOf<{ Id: number; db: string | null; Info: string | null }>(db, 'SHOW FULL PROCESSLIST');
  const [at] = await rowsOf<{ name: string }>(db, 'SELECT DATABASE() AS name');
  for (const { Id, db: name, Info } of sessions) {
    if (name !== at?.name || !Info?.startsWith(`UPDATE ${fenceTable}`) || !Info.includes(`slice = '${slice}'`))
      continue;
    // It may have ended by itself.
    await db.query(`KILL ${Number(Id)}`).catch(() => {});
  }
}
