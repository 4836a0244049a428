import { types } from 'node:util';
import type { Pool, PoolConnection } from 'mysql2/promise';
import { type Backoff, nextBackoffMs, pause } from '../backoff.ts';
import { undoneWhereItFails } from '../outbox/told-events.ts';

export type Isolation = 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE';

/** Why a transaction was run again. */
export type Conflict = 'deadlock' | 'lock-wait';

export type TransactionOptions = {
  /** Tries altogether, 4 unless told. */
  maxAttempts?: number;
  /** How long to wait for a connection of the pool, 10 000 ms unless told. */
  acquireTimeoutMs?: number;
  /** Called before each further try; count them here. */
  onRetry?(conflict: Conflict, attempt: number): void;
};

/** The connection was lost while COMMIT was under way: it may have happened. Read back; never guess. */
export class CommitOutcomeUnknown extends Error {
  constructor(cause: unknown) {
    const found = types.isNativeError(cause) ? cause.message : String(cause);
    super(
      `COMMIT: expected an answer, found ${found}; it may or may not have happened: read back before repeating it`,
      { cause },
    );
    this.name = 'CommitOutcomeUnknown';
  }
}

const backoff: Backoff = { baseMs: 5, capMs: 200 };

/**
 * Runs `fn` in one transaction on one connection of the pool and commits it. When it throws, rolls back and
 * throws the same; a deadlock or a lock wait that ran out is rolled back and tried again, with a jittered pause,
 * so `fn` must have no effect outside the transaction. Throws `CommitOutcomeUnknown` when COMMIT was not answered.
 */
export async function withTransaction<T>(
  pool: Pool,
  isolation: Isolation,
  fn: (connection: PoolConnection) => Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  const { maxAttempts = 4, acquireTimeoutMs = 10_000, onRetry } = options;
  let delayMs: number | undefined;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await undoneWhereItFails(() => once(pool, isolation, fn, acquireTimeoutMs));
    } catch (error) {
      const conflict = conflictOf(error);
      if (conflict === undefined || attempt >= maxAttempts) throw error;
      onRetry?.(conflict, attempt);
      delayMs = nextBackoffMs(delayMs, backoff);
      await pause(delayMs);
    }
  }
}

/** Which conflict an error of the driver (or one that carries it as `cause`, `parent` or `original`) is. */
export function conflictOf(error: unknown): Conflict | undefined {
  for (let link = error, depth = 0; types.isNativeError(link) && depth < 5; depth += 1) {
    const { errno, parent, original } = link as Error & { errno?: number; parent?: unknown; original?: unknown };
    if (errno === 1213) return 'deadlock';
    if (errno === 1205) return 'lock-wait';
    link = link.cause ?? parent ?? original;
  }
  return undefined;
}

async function once<T>(
  pool: Pool,
  isolation: Isolation,
  fn: (connection: PoolConnection) => Promise<T>,
  acquireTimeoutMs: number,
): Promise<T> {
  const connection = await acquireConnection(pool, acquireTimeoutMs);
  try {
    await connection.query(`SET TRANSACTION ISOLATION LEVEL ${isolation}`);
    await connection.query('START TRANSACTION');
    const result = await fn(connection);
    await commit(connection);
    connection.release();
    return result;
  } catch (error) {
    // A connection that cannot roll back may hold locks: it must not go back into the pool.
    await connection.query('ROLLBACK').then(
      () => connection.release(),
      () => connection.destroy(),
    );
    throw error;
  }
}

async function commit(connection: PoolConnection): Promise<void> {
  try {
    await connection.query('COMMIT');
  } catch (error) {
    const answered = typeof (error as { errno?: unknown; sqlState?: unknown }).sqlState === 'string';
    throw answered ? error : new CommitOutcomeUnknown(error);
  }
}

/** A connection of the pool; throws when all of them stay in use for so long. */
export async function acquireConnection(pool: Pool, timeoutMs: number): Promise<PoolConnection> {
  const asked = pool.getConnection();
  const waiting = new AbortController();
  const late = pause(timeoutMs, waiting.signal).then((end) => (end === 'elapsed' ? 'late' : undefined));
  const got = await Promise.race([asked, late]).finally(() => waiting.abort());
  if (got !== 'late' && got !== undefined) return got;
  asked.then(
    (connection) => connection.release(),
    () => {},
  );
  throw new Error(
    `a database connection: expected one within ${timeoutMs} ms, found all of the pool in use; raise connectionLimit or look for transactions that do not end`,
  );
}
