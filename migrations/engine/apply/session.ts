import { createPool, type PoolOptions } from '@strangler/platform/mysql/pool.ts';
import type { Pool } from 'mysql2/promise';
import { quoteText } from '../schema/identifiers.ts';

/**
 * How a session that writes rows of the pipe is set:
 * - `@strangler_apply`, `@strangler_slice`: capture on this side does not take what the slice's pipe applies for a change of its own;
 *   that of another slice does, which may have a copy of the table.
 * - Foreign keys are not checked. Rows of different tables come in any order, and a copy runs table by table, for hours:
 *   waiting for parents would mean to hold back most of the children meanwhile, and two tables that point at each other
 *   could never be begun with. The source has checked every state that it committed, so the end state is sound when it
 *   is the source's; `findOrphans` proves that. Unchecked keys also do not cascade: the children's own deletes are on
 *   their way, and a row that is taken away and added again in one transaction takes nothing with it.
 * - Strict: a value that the column cannot hold is an error and never cut to fit. Zero dates and 0 in an AUTO_INCREMENT
 *   column are values like others.
 * - READ COMMITTED, under which a batch locks nothing but the rows that it names.
 */
const session = (slice: string | undefined, lockWaitSeconds: number): string =>
  `SET @strangler_apply = 1, @strangler_slice = ${slice === undefined ? 'NULL' : quoteText(slice)}, SESSION foreign_key_checks = 0, SESSION unique_checks = 1, SESSION time_zone = '+00:00', ` +
  `SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION', ` +
  `SESSION innodb_lock_wait_timeout = ${lockWaitSeconds}, NAMES utf8mb4; ` +
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED';

export type ApplyPoolOptions = PoolOptions & {
  /** How long a statement waits for a lock before the batch is begun anew, 10 s unless told. */
  lockWaitSeconds?: number;
  /** Whose pipe it is, by the slice's own name whichever way its rows flow. Unset: no capture at all takes what is written. */
  slice?: string;
};

/** A pool whose sessions write rows of the pipe: for the applier, the backfill and nothing else. */
export function createApplyPool(url: string, options: ApplyPoolOptions = {}): Pool {
  const { lockWaitSeconds = 10, slice, ...poolOptions } = options;
  // Several statements in one query: each round trip makes a batch later.
  const pool = createPool(url, { ...poolOptions, multipleStatements: true });
  // Queued before whatever the connection was taken for.
  pool.pool.on('connection', (connection) => {
    connection.query(session(slice, lockWaitSeconds), (error) => {
      if (error) connection.destroy();
    });
  });
  return pool;
}

/**
 * A pool whose sessions only read: plain reads take no locks and see what is committed when they begin, times are UTC,
 * and the SQL mode is the one under which the pipe writes, so that an expression means the same everywhere.
 */
export function createReadPool(url: string, options: PoolOptions = {}): Pool {
  const pool = createPool(url, options);
  pool.pool.on('connection', (connection) => {
    const failed = (error: unknown) => {
      if (error) connection.destroy();
    };
    connection.query(
      `SET SESSION time_zone = '+00:00', SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION', NAMES utf8mb4`,
      failed,
    );
    connection.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY', failed);
  });
  return pool;
}
