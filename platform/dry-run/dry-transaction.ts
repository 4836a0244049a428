import { randomUUID } from 'node:crypto';
import type { Pool, PoolConnection } from 'mysql2/promise';
import { conflictOf } from '../mysql/transaction.ts';
import { cannotDryRun, dryRunFailed } from './errors.ts';

/** What the driver's `query` takes: a text or an object with one, and values. */
export type StatementArguments = [sql: string | { sql: string }, values?: unknown];

/**
 * One transaction that is always undone. It is an XA transaction that is never ended by anything but its rollback: while it is
 * active, the server itself refuses COMMIT, START TRANSACTION, LOCK TABLES and every statement that commits by the way, and
 * when its connection is lost, however that comes, the server rolls it back. So nothing that runs in it can stay, whatever a
 * service does and wherever it dies.
 */
export type DryTransaction = {
  /** Runs a statement in it. */
  query(...args: StatementArguments): Promise<unknown>;
  /** A connection for a transaction within it: what begins and ends one becomes a savepoint. One at a time. */
  lend(): Promise<PoolConnection>;
  /** Undoes everything. Never throws; after it every statement is refused. */
  undo(): Promise<void>;
  /** Why what it answers is worth nothing, if so: it would have committed, or the server has given it up. */
  spoilt(): Error | undefined;
};

export type DryTransactionOptions = {
  /** Whose connections are for dry runs only: what their sessions are set to concerns nobody else. */
  pool: Pool;
  /** The slice whose closed fence it is let through; undefined: none. */
  slice: string | undefined;
  /** How long it waits for a row that somebody else has locked, whole seconds from 1. */
  lockWaitSeconds: number;
};

const xaRefused = 1399;
const noSuchTable = 1146;

/** What stands for a whole transaction in what a service runs, and what becomes of it in here. */
const begins = /^\s*(START\s+TRANSACTION|BEGIN)\b/i;
const commits = /^\s*COMMIT\b/i;
const rollsBack = /^\s*ROLLBACK\s*;?\s*$/i;
const chooses = /^\s*SET\s+(SESSION\s+|LOCAL\s+)?TRANSACTION\b/i;
/** With these the guarantee could be talked away. */
const forbidden = /^\s*(XA\b|SET\b.*\bautocommit\b|SET\b.*@strangler_)/is;

/** Begins one. Throws what the pool or the server throws; then nothing was begun. */
export async function beginDryTransaction({
  pool,
  slice,
  lockWaitSeconds,
}: DryTransactionOptions): Promise<DryTransaction> {
  const connection = await pool.getConnection();
  const xid = `strangler-dry-run-${randomUUID()}`;
  try {
    await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
    await connection.query(
      'SET SESSION innodb_lock_wait_timeout = ?, @strangler_apply = NULL, @strangler_pass = NULL',
      [lockWaitSeconds],
    );
    await connection.query(`XA START '${xid}'`);
    if (slice !== undefined) await passClosedFence(connection, slice);
  } catch (error) {
    connection.destroy();
    throw error;
  }
  return dryTransaction(connection, xid);
}

/**
 * Where the slice's fence is closed (the tables are still another's), its triggers would refuse every write. The session
 * presents the pass of the pipe, as an applier does; what it writes is then neither refused nor captured.
 */
async function passClosedFence(connection: PoolConnection, slice: string): Promise<void> {
  try {
    await connection.query(
      `SELECT '1', CONVERT(pass USING utf8mb4) INTO @strangler_apply, @strangler_pass
         FROM strangler_fence WHERE slice = ? AND state = 'closed'`,
      [slice],
    );
  } catch (error) {
    if ((error as { errno?: unknown }).errno !== noSuchTable) throw error;
  }
}

function dryTransaction(connection: PoolConnection, xid: string): DryTransaction {
  let open = true;
  let spoilt: Error | undefined;
  let savepoints = 0;
  /** The end of the transactions within it that are under way: the next one begins then. */
  let turn: Promise<void> = Promise.resolve();

  const query: DryTransaction['query'] = async (...args) => {
    if (!open) throw dryRunFailed('A statement came after the end of the dry run.');
    if (spoilt !== undefined) throw spoilt;
    const sql = textOf(args[0]);
    if (forbidden.test(sql)) {
      spoilt = cannotDryRun('The request sets what a dry run stands on.');
      throw spoilt;
    }
    try {
      return await connection.query(...(args as unknown as Parameters<PoolConnection['query']>));
    } catch (error) {
      spoilt ??= spoiltBy(error, sql);
      throw error;
    }
  };

  return {
    query,
    spoilt: () => spoilt,
    async lend() {
      const before = turn;
      let done = (): void => {};
      turn = new Promise((resolve) => {
        done = resolve;
      });
      await before;
      savepoints += 1;
      return withinSavepoint(connection, { query, name: `strangler_dry_${savepoints}`, done });
    },
    async undo() {
      if (!open) return;
      open = false;
      try {
        // A transaction that the server has given up cannot be ended, but it must be rolled back all the same.
        await connection.query(`XA END '${xid}'`).catch(() => {});
        await connection.query(`XA ROLLBACK '${xid}'`);
        connection.release();
      } catch {
        connection.destroy();
      }
    },
  };
}

/** The server has ended the session, or the statement: ER_QUERY_INTERRUPTED, ER_SERVER_SHUTDOWN, a connection killed. */
function isFatal(error: unknown): boolean {
  const { fatal, errno } = error as { fatal?: unknown; errno?: number };
  return fatal === true || [1053, 1317, 1927].includes(errno ?? 0);
}

/** What spoils the whole of it: afterwards the transaction is not what the service takes it for. */
function spoiltBy(error: unknown, sql: string): Error | undefined {
  if ((error as { errno?: unknown }).errno === xaRefused) {
    return cannotDryRun(`The request would commit by itself (${sql.trim().slice(0, 40)}).`, error);
  }
  const conflict = conflictOf(error);
  if (conflict === 'deadlock') return dryRunFailed('The server chose it as the victim of a deadlock.', error);
  // Live requests come first: it does not try again.
  if (conflict === 'lock-wait') return dryRunFailed('Somebody else has locked what it needs.', error);
  if (typeof (error as { sqlState?: unknown }).sqlState !== 'string' || isFatal(error)) {
    return dryRunFailed('Its connection to the database was lost.', error);
  }
  return undefined;
}

function withinSavepoint(
  connection: PoolConnection,
  { query, name, done }: { query: DryTransaction['query']; name: string; done: () => void },
): PoolConnection {
  let began = false;
  const run = async (...args: StatementArguments): Promise<unknown> => {
    const sql = textOf(args[0]);
    if (chooses.test(sql)) return [{}, []];
    if (begins.test(sql)) {
      began = true;
      return query(`SAVEPOINT ${name}`);
    }
    if (commits.test(sql)) {
      began = false;
      return query(`RELEASE SAVEPOINT ${name}`);
    }
    if (rollsBack.test(sql)) {
      if (!began) return [{}, []];
      began = false;
      return query(`ROLLBACK TO SAVEPOINT ${name}`);
    }
    return query(...args);
  };
  const own: Partial<Record<keyof PoolConnection, unknown>> = {
    query: run,
    execute: run,
    beginTransaction: () => run('START TRANSACTION'),
    commit: () => run('COMMIT'),
    rollback: () => run('ROLLBACK'),
    release: done,
    destroy: done,
  };
  return new Proxy(connection, {
    get: (target, name) =>
      name in own ? own[name as keyof PoolConnection] : bound(target, Reflect.get(target, name) as unknown),
  });
}

function textOf(sql: StatementArguments[0]): string {
  return typeof sql === 'string' ? sql : sql.sql;
}

export function bound(target: object, value: unknown): unknown {
  return typeof value === 'function' ? value.bind(target) : value;
}
