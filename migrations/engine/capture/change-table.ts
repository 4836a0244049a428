import { pause } from '@strangler/platform/backoff.ts';
import { conflictOf } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { type LockOptions, tableBusy } from './lock-table.ts';

const betweenTriesMs = 200;

export type TableChange = {
  /** CREATE TRIGGER, DROP TRIGGER or ALTER TABLE, each of this table alone. */
  statements: readonly string[];
  /** Under which triggers are made and run; the server's own unless told. */
  sqlMode?: string;
};

/**
 * Runs statements that change one table's triggers or options, each by itself, and returns for how many
 * milliseconds the table's writers may have waited for the slowest of them. Each waits until the transactions that have used the table are over
 * and lets no new one begin meanwhile, so it waits but shortly, gives way, and tries again. LOCK TABLES would make all of
 * them one change, but locks whatever the table's foreign keys and triggers name as well, the outbox among it: writers
 * of any two of these would be deadlocked for as long as it waits. A writer that has one table by its foreign key only and then
 * wants it for itself can still be a deadlock's victim here, at its first try.
 * @throws TableBusyError with the statements before it done; what else the server refuses
 */
export async function changeTable(
  pool: Pool,
  table: { database: string; name: string },
  { statements, sqlMode }: TableChange,
  { waitSeconds = 1, tries = 30, signal }: LockOptions = {},
): Promise<number> {
  if (statements.length === 0) return 0;
  const connection = await pool.getConnection();
  let waitedMs = 0;
  try {
    const seconds = Math.ceil(waitSeconds);
    const mode = sqlMode === undefined ? '' : `sql_mode = '${sqlMode}', `;
    await connection.query(`SET SESSION lock_wait_timeout = ${seconds}, ${mode}NAMES utf8mb4`);
    for (const statement of statements) {
      for (let attempt = 1; ; attempt += 1) {
        const startedMs = performance.now();
        try {
          await connection.query(statement);
          waitedMs = Math.max(waitedMs, performance.now() - startedMs);
          break;
        } catch (error) {
          if (conflictOf(error) === undefined) throw error;
          waitedMs = Math.max(waitedMs, performance.now() - startedMs);
          const isLast = attempt >= tries || signal?.aborted === true;
          if (isLast || (await pause(betweenTriesMs, signal)) === 'aborted')
            throw await tableBusy(connection, table, attempt, error);
        }
      }
    }
    return Math.round(waitedMs);
  } finally {
    // Its session is set otherwise than the pool's.
    connection.destroy();
  }
}
