import type { Dialect } from '@strangler/platform/mysql/pool.ts';
import type { Pool } from 'mysql2/promise';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { captureSqlMode, captureStateTable, recorder, recorderBody, recorderSql } from './record-row.ts';

const text = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

/** A slice's epoch cannot go back: images of the past would win over those of today. */
export class EpochError extends Error {
  override name = 'EpochError';
}

/** Makes what the triggers need beside the outbox, where it is not there yet. */
export async function installCaptureState(db: Pool, dialect: Dialect): Promise<void> {
  await db.query(
    `CREATE TABLE IF NOT EXISTS ${captureStateTable} (
       slice VARCHAR(64) ${text} NOT NULL PRIMARY KEY,
       epoch INT UNSIGNED NOT NULL,
       changed_at DATETIME(6) NOT NULL
     ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
  );
  if (dialect === 'mariadb' && !(await hasRecorder(db))) await createRecorder(db);
}

/** Whether MariaDB's procedure is the one that the triggers call. */
export async function hasRecorder(db: Queryable): Promise<boolean> {
  const [routine] = await rowsOf<{ body: string; sqlMode: string }>(
    db,
    `SELECT ROUTINE_DEFINITION AS body, SQL_MODE AS sqlMode FROM information_schema.ROUTINES
     WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_NAME = ?`,
    [recorder],
  );
  return routine?.body === recorderBody && routine.sqlMode === captureSqlMode;
}

async function createRecorder(db: Pool): Promise<void> {
  const connection = await db.getConnection();
  try {
    await connection.query(`SET SESSION sql_mode = '${captureSqlMode}', NAMES utf8mb4`);
    await connection.query(recorderSql);
  } finally {
    connection.destroy();
  }
}

/** The epoch under which a slice's changes are captured now; undefined where nothing is captured of it. */
export async function readEpoch(db: Queryable, slice: string): Promise<number | undefined> {
  const [row] = await rowsOf<{ epoch: number }>(db, `SELECT epoch FROM ${captureStateTable} WHERE slice = ?`, [slice]);
  return row?.epoch;
}

/** Sets a slice's epoch, for every change from the next statement on. @throws EpochError when it would go back. */
export async function setEpoch(db: Queryable, slice: string, epoch: number): Promise<void> {
  await db.query(
    `INSERT INTO ${captureStateTable} (slice, epoch, changed_at) VALUES (?, ?, UTC_TIMESTAMP(6))
     ON DUPLICATE KEY UPDATE changed_at = IF(VALUES(epoch) > epoch, VALUES(changed_at), changed_at),
                             epoch = GREATEST(epoch, VALUES(epoch))`,
    [slice, epoch],
  );
  const now = await readEpoch(db, slice);
  if (now === epoch) return;
  throw new EpochError(`${slice}: expected an epoch of at least ${now}, the present one, found ${epoch}`);
}

/** Forgets a slice, and the table with the last of them. */
export async function dropCaptureState(db: Queryable, slice: string): Promise<void> {
  const [found] = await rowsOf(db, 'SHOW TABLES LIKE ?', [captureStateTable.replaceAll('_', '\\_')]);
  if (found === undefined) return;
  await db.query(`DELETE FROM ${captureStateTable} WHERE slice = ?`, [slice]);
  const [other] = await rowsOf(db, `SELECT 1 FROM ${captureStateTable} LIMIT 1`);
  if (other !== undefined) return;
  // Whoever drops one that is not there needs the right to, which is not asked for where there are none.
  const [routine] = await rowsOf(
    db,
    'SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_NAME = ?',
    [recorder],
  );
  if (routine !== undefined) await db.query(`DROP PROCEDURE ${recorder}`);
  await db.query(`DROP TABLE ${captureStateTable}`);
}
