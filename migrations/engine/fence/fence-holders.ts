import { dialectOf } from '@strangler/platform/mysql/pool.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { fenceTable } from './fence-state.ts';

/** Who keeps a fence from being moved. */
export type FenceHolder = {
  /** `transaction`: has written (or applied) and not ended. `tables`: has a fenced table under LOCK TABLES. `prepared`: an XA transaction that waits for its COMMIT. */
  kind: 'transaction' | 'tables' | 'prepared';
  /** Of the server's process list; null where no session is connected with it. */
  connection: number | null;
  /** user@host; of a prepared transaction its xid. */
  name: string | null;
  seconds: number | null;
};

// Nothing of INNODB_TRX: MySQL cannot tell it while any transaction runs a statement with characters beyond U+FFFF.
const mysqlHolders = `
  SELECT 'transaction' AS kind, t.PROCESSLIST_ID AS connection, CONCAT(t.PROCESSLIST_USER, '@', t.PROCESSLIST_HOST) AS name,
         (SELECT FLOOR(e.TIMER_WAIT / 1e12) FROM performance_schema.events_transactions_current e
          WHERE e.THREAD_ID = w.BLOCKING_THREAD_ID AND e.STATE = 'ACTIVE') AS seconds
  FROM performance_schema.data_lock_waits w
  JOIN performance_schema.threads r ON r.THREAD_ID = w.REQUESTING_THREAD_ID
  LEFT JOIN performance_schema.threads t ON t.THREAD_ID = w.BLOCKING_THREAD_ID
  WHERE r.PROCESSLIST_ID = ?
  UNION
  SELECT 'tables', t.PROCESSLIST_ID, CONCAT(t.PROCESSLIST_USER, '@', t.PROCESSLIST_HOST), t.PROCESSLIST_TIME
  FROM performance_schema.metadata_locks m
  JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID
  WHERE m.OBJECT_SCHEMA = DATABASE() AND m.OBJECT_NAME = '${fenceTable}' AND m.LOCK_STATUS = 'GRANTED'
    AND m.LOCK_TYPE IN ('SHARED_READ_ONLY', 'SHARED_NO_WRITE', 'SHARED_NO_READ_WRITE', 'EXCLUSIVE')`;

const mariadbHolders = `
  SELECT 'transaction' AS kind, b.trx_mysql_thread_id AS connection, CONCAT(p.USER, '@', p.HOST) AS name,
         TIMESTAMPDIFF(SECOND, b.trx_started, NOW()) AS seconds
  FROM information_schema.INNODB_LOCK_WAITS w
  JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id
  JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id
  LEFT JOIN information_schema.PROCESSLIST p ON p.ID = b.trx_mysql_thread_id
  WHERE r.trx_mysql_thread_id = ?`;

/**
 * Who the session `waiting`, which now waits to move the fence, waits for. null where the account may not see it: MySQL
 * asks for SELECT on performance_schema and PROCESS, MariaDB for PROCESS.
 */
export async function readHolders(db: Queryable, waiting: number): Promise<FenceHolder[] | null> {
  try {
    const rows = await rowsOf<FenceHolder>(db, (await dialectOf(db)) === 'mysql' ? mysqlHolders : mariadbHolders, [
      waiting,
    ]);
    return rows.map((row) => ({
      ...row,
      connection: Number(row.connection) === 0 ? null : Number(row.connection),
      seconds: row.seconds === null ? null : Number(row.seconds),
    }));
  } catch {
    return null;
  }
}

// MySQL answers a missing XA_RECOVER_ADMIN with the second.
const mayNotSee = new Set([1227, 1401]);

/**
 * The server's prepared XA transactions, of any database: their COMMIT is still to come, and what they have written is
 * not told. null where the account may not see them (MySQL: XA_RECOVER_ADMIN).
 */
export async function readPrepared(db: Queryable): Promise<FenceHolder[] | null> {
  type Row = { formatID: number; gtrid_length: number; bqual_length: number; data: string | Buffer };
  try {
    const rows = await rowsOf<Row>(db, 'XA RECOVER');
    return rows.map(({ data }) => ({
      kind: 'prepared',
      connection: null,
      name: Buffer.isBuffer(data) ? data.toString('latin1') : data,
      seconds: null,
    }));
  } catch (error) {
    if (mayNotSee.has((error as { errno?: number }).errno ?? 0)) return null;
    throw error;
  }
}

/** For messages: `connection 7 of app@10.0.0.2 for 12 s`. */
export const holderText = ({ kind, connection, name, seconds }: FenceHolder): string => {
  if (kind === 'prepared') return `the prepared XA transaction ${JSON.stringify(name)}`;
  const who =
    connection === null ? 'a transaction without a session' : `connection ${connection} of ${name ?? 'unknown'}`;
  const what = kind === 'tables' ? ' under LOCK TABLES' : '';
  return `${who}${what}${seconds === null ? '' : ` for ${seconds} s`}`;
};
