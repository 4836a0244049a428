import type { FenceOwner, FenceRefusal } from '../contracts/fence-refusal.ts';
import { Problem } from '../http/problem.ts';

/**
 * Looks at a slice's fence in the own database: `open`, what it would say to a write where it is closed, or `none` where there is
 * no fence, as before the slice has begun to move and after it has gone all the way back.
 */
export type OwnFence = () => Promise<FenceRefusal | 'open' | 'none'>;

/** Runs one SELECT outside of any transaction and gives its rows. */
export type Select = (sql: string, slice: string) => Promise<unknown[]>;

type Row = { epoch: number | string; owner: FenceOwner; state: 'open' | 'closed' };

const noSuchTable = 1146;

/** `select` puts the slice's name in place of the one question mark. */
export const ownFence =
  (select: Select, slice: string): OwnFence =>
  async () => {
    try {
      const [row] = (await select('SELECT epoch, owner, state FROM strangler_fence WHERE slice = ?', slice)) as Row[];
      if (row === undefined) return 'none';
      if (row.state === 'open') return 'open';
      return { slice, epoch: Number(row.epoch), owner: row.owner, because: 'closed' };
    } catch (error) {
      const { errno, original } = error as { errno?: number; original?: { errno?: number } };
      if ((errno ?? original?.errno) === noSuchTable) return 'none';
      throw error;
    }
  };

/**
 * A refusal that a write was answered with because of what it had read (there is no such row, another has changed it) is
 * not to be believed where the fence is closed: the rows may have gone on at their owner. Gives what the fence says then.
 */
export async function disbelieved(error: unknown, fence: OwnFence | undefined): Promise<FenceRefusal | undefined> {
  if (fence === undefined || !(error instanceof Problem) || error.status >= 500) return undefined;
  const said = await fence();
  return typeof said === 'object' ? said : undefined;
}
