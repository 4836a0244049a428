import type { MappedTable } from '../apply/row-shape.ts';
import { backfillTable } from '../backfill/backfill.ts';
import { lagThrottle, loadThrottle, type Throttle } from '../backfill/throttle.ts';
import { readLag } from '../pipe/lag.ts';
import type { PipeDatabases } from '../pipe/open-databases.ts';
import { StageInterrupted, type StageWork } from './stage-work.ts';

/** When a copy waits for the pipe and for the source. */
export type BackfillPace = {
  /** Lag of the changes that are captured meanwhile. */
  maxLagMs: number;
  /** Sessions at work in the source. */
  maxRunning: number;
};

export const defaultBackfillPace: BackfillPace = { maxLagMs: 5_000, maxRunning: 50 };

/** The throttles of a copy beside a pipe. */
export const paceThrottles = ({ slice, source, target }: PipeDatabases, pace: BackfillPace): Throttle[] => [
  lagThrottle(
    atMostEvery(500, async () => (await readLag(source.read, target.read, slice.slice)).lagMs),
    pace.maxLagMs,
  ),
  loadThrottle(source.read, pace.maxRunning),
];

/** Copies every table of a slice, in the slice file's order, from where it stopped. @throws StageInterrupted */
export async function backfillSlice(
  { databases, log, signal, tell }: Pick<StageWork, 'databases' | 'log' | 'signal' | 'tell'>,
  tables: readonly MappedTable[],
  pace: BackfillPace = defaultBackfillPace,
): Promise<void> {
  const { slice, source, target } = databases;
  const throttles = paceThrottles(databases, pace);
  for (const table of tables) {
    const options = { table, source: source.read, target: target.apply, log, throttles, signal };
    for await (const event of backfillTable(options)) {
      tell({ kind: 'backfill', event });
      if (event.kind === 'stopped') {
        throw new StageInterrupted(
          `stopped in the midst of copying; "strangler backfill ${slice.slice}" goes on there`,
        );
      }
    }
  }
}

/** A figure that costs queries is not asked for before each of many small chunks. */
function atMostEvery(everyMs: number, read: () => Promise<number>): () => Promise<number> {
  let readAtMs = Number.NEGATIVE_INFINITY;
  let last = 0;
  return async () => {
    // What makes somebody wait is looked at anew each time.
    if (performance.now() - readAtMs < everyMs && last < everyMs) return last;
    last = await read();
    readAtMs = performance.now();
    return last;
  };
}
