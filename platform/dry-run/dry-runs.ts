import { AsyncLocalStorage } from 'node:async_hooks';
import type { Pool } from 'mysql2/promise';
import { Counter, type Registry } from 'prom-client';
import { createPool } from '../mysql/pool.ts';
import { beginDryTransaction, bound, type DryTransaction, type StatementArguments } from './dry-transaction.ts';
import { cannotDryRun, dryRunFailed } from './errors.ts';

/** How a dry run ended: with an answer, without the promise being kept (nothing was done), or for want of time, room or a database. */
export type DryRunEnd = 'answered' | 'refused' | 'failed';

/** Does work of a service and undoes it. */
export type DryRuns = {
  /** Whether the caller runs within a dry run. */
  inside(): boolean;
  /** The pool as the service is to use it: within a dry run, everything that goes through it is in the dry run's transaction. */
  pool(pool: Pool): Pool;
  /**
   * Runs `work` in a transaction that is undone before this resolves, and at the latest after the deadline, whatever
   * `work` is doing then. Throws a 503 problem where there is no room, no database or no time, a 501 problem where the work
   * would have committed by itself; else what `work` throws.
   */
  run<T>(work: () => Promise<T>): Promise<T>;
  count(end: DryRunEnd): void;
  close(): Promise<void>;
};

export type DryRunOptions = {
  /** The service's own database, with the service's own account. */
  databaseUrl: string;
  /** The slice whose tables the service does not own yet; undefined: its tables have no fence. */
  slice?: string | undefined;
  /** How many at once, 4 unless told: they have connections of their own, so live requests do not wait for them. */
  atOnce?: number;
  /** How many may wait for their turn, 16 unless told; one more is refused. */
  waiting?: number;
  /** After this time it is undone, 2000 ms unless told: it holds locks like any other write. */
  deadlineMs?: number;
  registry: Registry;
};

export function createDryRuns(options: DryRunOptions): DryRuns {
  const { databaseUrl, slice, atOnce = 4, waiting = 16, deadlineMs = 2_000, registry } = options;
  // Made when the first one comes: most instances never see any.
  let own: Pool | undefined;
  let undoable: boolean | undefined;
  const running = new AsyncLocalStorage<DryTransaction>();
  const runs = new Counter({
    name: 'dry_runs_total',
    help: 'Dry runs by how they ended: answered, refused (cannot be promised) or failed; nothing stays of any.',
    labelNames: ['end'],
    registers: [registry],
  });

  const begin = async (): Promise<DryTransaction> => {
    own ??= createPool(databaseUrl, {
      connectionLimit: atOnce,
      queueLimit: waiting,
      metrics: { registry, pool: 'dry_runs' },
    });
    try {
      undoable ??= await areUndoable(own);
      if (undoable) return await beginDryTransaction({ pool: own, slice, lockWaitSeconds: 1 });
    } catch (error) {
      throw dryRunFailed('There is no room or no database for a dry run just now.', error);
    }
    throw cannotDryRun('The database has tables without transactions: what is written there cannot be undone.');
  };

  return {
    inside: () => running.getStore() !== undefined,
    count: (end) => runs.inc({ end }),
    pool: (pool) =>
      new Proxy(pool, {
        get(target, name) {
          if (name === 'query' || name === 'execute') {
            const live = bound(target, target[name]) as (...args: StatementArguments) => Promise<unknown>;
            return (...args: StatementArguments) => (running.getStore()?.query ?? live)(...args);
          }
          if (name === 'getConnection') return () => running.getStore()?.lend() ?? target.getConnection();
          return bound(target, Reflect.get(target, name) as unknown);
        },
      }),
    async run(work) {
      const transaction = await begin();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(dryRunFailed(`It took longer than ${deadlineMs} ms.`)), deadlineMs);
      });
      try {
        const working = running.run(transaction, work);
        // What it still does after the deadline meets a transaction that is over.
        working.catch(() => {});
        const result = await Promise.race([working, late]);
        const spoilt = transaction.spoilt();
        if (spoilt !== undefined) throw spoilt;
        return result;
      } catch (error) {
        throw transaction.spoilt() ?? error;
      } finally {
        clearTimeout(timer);
        await transaction.undo();
      }
    },
    close: async () => own?.end(),
  };
}

/** Asked once: a database whose tables are not all of an engine with transactions is no place for dry runs. */
async function areUndoable(pool: Pool): Promise<boolean> {
  const [found] = await pool.query(
    `SELECT TABLE_NAME FROM information_schema.TABLES
      WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB' LIMIT 1`,
  );
  return (found as unknown[]).length === 0;
}
