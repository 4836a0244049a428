import { readFenceRefusal } from '@strangler/platform/contracts/fence-refusal.ts';
import type { Connection, Pool } from 'mysql2/promise';
import { fenceTable, readFence } from '../fence/fence-state.ts';
import { sliceOfPipe } from '../pipe/direction.ts';
import type { Statement } from './apply-transaction.ts';

/** Lets the transactions of one pool through the fence of a slice, where there is one and it is closed. */
export type FencePass = {
  /** What a transaction begins with; nothing while the slice is not known to have a fence. */
  statements(): Promise<Statement[]>;
  /** The same, for one that is begun already. */
  present(connection: Connection): Promise<void>;
  /** Whether a transaction failed because it began without the present pass: begun anew, it has it. */
  isStale(error: unknown): boolean;
};

/**
 * Each transaction reads the pass anew, along with its beginning: one that was drawn since is met at the first write, and
 * the transaction begun anew. The sessions are READ COMMITTED, so what is read is what was committed last.
 */
export function createFencePass(pool: Pool, pipe: string): FencePass {
  const slice = sliceOfPipe(pipe);
  let known: boolean | undefined;

  async function statements(): Promise<Statement[]> {
    known ??= (await readFence(pool, slice)) !== undefined;
    return known ? [passStatement(slice)] : [];
  }

  return {
    statements,
    async present(connection) {
      for (const { sql, values } of await statements()) await connection.query(sql, [...values]);
    },
    isStale(error) {
      const refusal = readFenceRefusal(error);
      if (refusal !== undefined) {
        if (refusal.because !== 'pass' || refusal.slice !== slice) return false;
        known = true;
        return true;
      }
      if (known !== true || !isMissingFence(error)) return false;
      known = undefined;
      return true;
    },
  };
}

// MAX, so that there is a row where there is no fence, and an earlier pass is given up.
const passStatement = (slice: string): Statement => ({
  sql: `SELECT MAX(CONVERT(pass USING utf8mb4)) INTO @strangler_pass FROM ${fenceTable} WHERE slice = ?`,
  values: [slice],
});

const isMissingFence = (error: unknown): boolean => {
  const { errno, message } = Object(error) as { errno?: unknown; message?: unknown };
  return errno === 1146 && String(message).includes(fenceTable);
};
