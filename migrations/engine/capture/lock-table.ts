import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { Pool, PoolConnection } from 'mysql2/promise';
import { quoteTable } from '../schema/identifiers.ts';
import { cannotConvertString, rowsOf } from '../schema/queryable.ts';

/** How hard to try for a table's lock. While one try waits, later writers of the table wait behind it. */
export type LockOptions = {
  /** How long one try waits, whole seconds, 1 unless told. */
  waitSeconds?: number;
  /** Tries at most, 30 unless told; between them the writers run on, for up to 2 s. */
  tries?: number;
  signal?: AbortSignal;
};

/** The table could not be had for itself, even for a moment; the message says who may hold it. */
export class TableBusyError extends Error {
  override name = 'TableBusyError';
}

const lockWaitTimeout = 1205;
const deadlock = 1213;
/** For who holds a table, where the server cannot tell it at the moment. */
const mostLooks = 14;
/** InnoDB shows its transactions as they were, for as long as somebody asks more often than every 0.1 s. */
const lookAgainMs = 150;

/**
 * Runs `work` while nobody else reads or writes the table, on a connection of its own that has it locked: what it
 * changes of the table's triggers no writer sees by halves. Returns for how many milliseconds that was.
 * @throws TableBusyError when the lock was not had in the tries allowed; whatever `work` throws.
 */
export async function withTableLocked(
  pool: Pool,
  table: { database: string; name: string },
  work: (connection: PoolConnection) => Promise<void>,
  { waitSeconds = 1, tries = 30, signal }: LockOptions = {},
): Promise<number> {
  const connection = await pool.getConnection();
  try {
    await connection.query(`SET SESSION lock_wait_timeout = ${Math.ceil(waitSeconds)}`);
    let delayMs: number | undefined;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await connection.query(`LOCK TABLES ${quoteTable(table)} WRITE`);
        break;
      } catch (error) {
        const { errno } = error as { errno?: number };
        if (errno !== lockWaitTimeout && errno !== deadlock) throw error;
        if (attempt >= tries || signal?.aborted) throw await tableBusy(connection, table, attempt, error);
        delayMs = nextBackoffMs(delayMs, { baseMs: 200, capMs: 2000 });
        if ((await pause(delayMs, signal)) === 'aborted') throw await tableBusy(connection, table, attempt, error);
      }
    }
    const lockedAtMs = performance.now();
    await work(connection);
    const lockedMs = Math.round(performance.now() - lockedAtMs);
    await connection.query('UNLOCK TABLES');
    return lockedMs;
  } finally {
    // Its session is set otherwise than the pool's, and may hold the lock still.
    connection.destroy();
  }
}

type OpenTransaction = { id: number; account: string | null; seconds: number };

/** The oldest five; none where they cannot be seen. */
async function openTransactions(connection: PoolConnection): Promise<OpenTransaction[]> {
  for (let looks = 1; ; looks += 1) {
    try {
      return await rowsOf<OpenTransaction>(
        connection,
        `SELECT t.trx_mysql_thread_id AS id, CONCAT(p.user, '@', p.host) AS account,
                TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) AS seconds
         FROM information_schema.innodb_trx t LEFT JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
         ORDER BY t.trx_started LIMIT 5`,
      );
    } catch (error) {
      // Such statements come and go, on a shop with many of them between any two looks.
      if ((error as { errno?: number }).errno !== cannotConvertString || looks >= mostLooks) return [];
      await pause(lookAgainMs);
    }
  }
}

/** The error of a table that was held through all tries, with the transactions that are open. */
export async function tableBusy(
  connection: PoolConnection,
  { database, name }: { database: string; name: string },
  tries: number,
  cause: unknown,
): Promise<TableBusyError> {
  const open = await openTransactions(connection);
  const holders = open.map(
    ({ id, account, seconds }) => `connection ${id} of ${account ?? 'unknown'} for ${seconds} s`,
  );
  const who =
    holders.length === 0
      ? 'which transactions are open could not be seen (it takes the privilege PROCESS)'
      : `open transactions: ${holders.join(', ')}`;
  return new TableBusyError(
    `${database}.${name}: expected its lock within ${tries} tries, found it held; ${who}. ` +
      'Let the long ones end, or end them, and run this again: it goes on where it was',
    { cause },
  );
}
