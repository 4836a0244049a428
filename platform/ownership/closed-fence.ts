import type { FenceOwner, FenceRefusal } from '../contracts/fence-refusal.ts';
import { Problem } from '../http/problem.ts';

/** Looks at a slice's fence in the own database: what it would say to a write, undefined where it is open or there is none. */
export type ClosedFence = () => Promise<FenceRefusal | undefined>;

/** Runs one SELECT outside of any transaction and gives its rows. */
export type Select = (sql: string, slice: string) => Promise<unknown[]>;

type Row = { epoch: number | string; owner: FenceOwner };

const noSuchTable = 1146;

/** `select` puts the slice's name in place of the one question mark. */
export const closedFence =
  (select: Select, slice: string): ClosedFence =>
  async () => {
    try {
      const [row] = (await select(
        "SELECT epoch, owner FROM strangler_fence WHERE slice = ? AND state = 'closed'",
        slice,
      )) as Row[];
      return row && { slice, epoch: Number(row.epoch), owner: row.owner, because: 'closed' };
    } catch (error) {
      const { errno, original } = error as { errno?: number; original?: { errno?: number } };
      if ((errno ?? original?.errno) === noSuchTable) return undefined;
      throw error;
    }
  };

/**
 * A refusal that a write was answered with because of what it had read (there is no such row, another has changed it) is
 * not to be believed where the fence is closed: the rows may have gone on at their owner. Gives what the fence says then.
 */
export async function disbelieved(error: unknown, closed: ClosedFence | undefined): Promise<FenceRefusal | undefined> {
  if (closed === undefined || !(error instanceof Problem) || error.status >= 500) return undefined;
  return closed();
}
