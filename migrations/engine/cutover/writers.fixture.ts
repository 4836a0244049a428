import { pause } from '@strangler/platform/backoff.ts';
import { readFenceRefusal } from '@strangler/platform/contracts/fence-refusal.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import type { Pool } from 'mysql2/promise';
import { fenceTable } from '../fence/fence-state.ts';
import { rowsOf } from '../schema/queryable.ts';
import type { Side } from './journal.ts';

/** A write that was answered: where, and under which epoch of the fence that let it through. */
export type Acknowledged = { worker: number; seq: number; side: Side; epoch: number };

export type Writers = {
  /** Every write that was answered. */
  acknowledged: Acknowledged[];
  /** How often a fence has refused one. */
  refused(): number;
  /** The longest that a write has waited, over all its tries, in milliseconds. */
  longestMs(): number;
  stop(): Promise<void>;
};

/** How each side calls the columns. */
const tablesOf = {
  monolith: { entries: 'entries', worker: 'worker', totals: 'totals' },
  service: { entries: 'records', worker: 'worker_no', totals: 'sums' },
} as const;

/**
 * Sessions that write to whichever side owns: a new row and a changed one in a transaction. Those with an odd number take
 * no notice of a hold, as a job or a person at a prompt does. A write that a fence refuses is tried again.
 */
export function startWriters(options: {
  slice: string;
  store: FlagStore;
  pools: Record<Side, Pool>;
  workers: number;
  /** Between two writes of one worker. */
  pauseMs?: number;
}): Writers {
  const { slice, store, pools, workers, pauseMs = 2 } = options;
  const stopping = new AbortController();
  const acknowledged: Acknowledged[] = [];
  let refused = 0;
  let longestMs = 0;
  let flag: FlagDocument | undefined;
  store.watch(
    {
      onChange({ flags }) {
        flag = flags.get(slice)?.document ?? flag;
      },
      onError() {},
    },
    stopping.signal,
  );

  const sideNow = (ignoresHold: boolean): Side | null => {
    if (flag === undefined) return null;
    if (flag.writes.owner !== 'held') return flag.writes.owner;
    return ignoresHold ? flag.writes.from : null;
  };

  async function writeOnce(worker: number, seq: number, side: Side): Promise<boolean> {
    const names = tablesOf[side];
    const connection = await pools[side].getConnection();
    try {
      await connection.beginTransaction();
      await connection.query(`INSERT INTO ${names.entries} (${names.worker}, seq) VALUES (?, ?)`, [worker, seq]);
      await connection.query(`UPDATE ${names.totals} SET n = n + 1 WHERE id = ?`, [worker]);
      const [fence] = await rowsOf<{ epoch: number }>(
        connection,
        `SELECT epoch FROM ${fenceTable} WHERE slice = ? LOCK IN SHARE MODE`,
        [slice],
      ).catch(() => []);
      await connection.commit();
      acknowledged.push({ worker, seq, side, epoch: fence?.epoch ?? 0 });
      connection.release();
      return true;
    } catch (error) {
      await connection.rollback();
      connection.release();
      const { errno } = error as { errno?: number };
      if (readFenceRefusal(error) !== undefined) refused += 1;
      // Deadlock, lock wait: rolled back, and tried again.
      else if (errno !== 1213 && errno !== 1205) throw error;
      return false;
    }
  }

  async function work(worker: number): Promise<void> {
    for (let seq = 1; !stopping.signal.aborted; seq += 1) {
      const startedMs = performance.now();
      for (;;) {
        const side = sideNow(worker % 2 === 1);
        if (side !== null && (await writeOnce(worker, seq, side))) break;
        if (stopping.signal.aborted && side === null) return;
        await pause(3);
      }
      longestMs = Math.max(longestMs, performance.now() - startedMs);
      await pause(pauseMs);
    }
  }

  const working = Promise.all(Array.from({ length: workers }, (_, at) => work(at + 1)));
  // Told when it is waited for.
  working.catch(() => {});
  return {
    acknowledged,
    refused: () => refused,
    longestMs: () => longestMs,
    async stop() {
      stopping.abort();
      await working;
    },
  };
}

/** Both sides' rows in one form. */
export async function rowsOfSide(pool: Pool, side: Side): Promise<{ entries: string[]; totals: string[] }> {
  const { entries, worker, totals } = tablesOf[side];
  const lines = await rowsOf<{ line: string }>(
    pool,
    `SELECT CONCAT_WS('/', id, ${worker}, seq) AS line FROM ${entries} ORDER BY id`,
  );
  const sums = await rowsOf<{ line: string }>(pool, `SELECT CONCAT_WS('/', id, n) AS line FROM ${totals} ORDER BY id`);
  return { entries: lines.map(({ line }) => line), totals: sums.map(({ line }) => line) };
}
