import type { Connection } from 'mysql2/promise';
import { affectedBy, backfillTable } from '../apply/own-tables.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import type { KeyPlace } from './key-range.ts';

/** How far a table has been copied; it stands in the target, in the transaction of the rows that it tells of. */
export type Checkpoint = {
  state: 'running' | 'done';
  /** The last key that was copied; null before the first. */
  lastKey: KeyPlace | null;
  rowsRead: number;
  rowsWritten: number;
  /** Rows that clashed with another on a unique value and wait for it. */
  rowsParked: number;
};

/** Somebody else copies the same table, and has moved the checkpoint. */
export class CheckpointMoved extends Error {
  override name = 'CheckpointMoved';

  constructor(table: string) {
    super(
      `${table}: expected its checkpoint in ${backfillTable} where this copy has left it, found it moved; ` +
        'another process copies the same table: stop one of them',
    );
  }
}

type CheckpointRow = {
  state: Checkpoint['state'];
  last_key: string | null;
  rows_read: number;
  rows_written: number;
  rows_parked: number;
};

/** The checkpoint of a target table; undefined where its copy has never begun. */
export async function readCheckpoint(db: Queryable, table: string): Promise<Checkpoint | undefined> {
  const [row] = await rowsOf<CheckpointRow>(
    db,
    `SELECT state, last_key, rows_read, rows_written, rows_parked FROM ${backfillTable} WHERE table_name = ?`,
    [table],
  );
  if (row === undefined) return undefined;
  return {
    state: row.state,
    lastKey: row.last_key === null ? null : (JSON.parse(row.last_key) as string[]),
    rowsRead: row.rows_read,
    rowsWritten: row.rows_written,
    rowsParked: row.rows_parked,
  };
}

export const firstCheckpoint: Checkpoint = {
  state: 'running',
  lastKey: null,
  rowsRead: 0,
  rowsWritten: 0,
  rowsParked: 0,
};

/** Writes the checkpoint of a copy that begins; one that stands there stays unless `restart`. */
export async function beginCheckpoint(db: Queryable, table: string, restart: boolean): Promise<Checkpoint> {
  const again = restart
    ? `state = 'running', last_key = NULL, rows_read = 0, rows_written = 0, rows_parked = 0, started_at = VALUES(started_at)`
    : 'table_name = table_name';
  await db.query(
    `INSERT INTO ${backfillTable} (table_name, state, started_at, updated_at)
     VALUES (?, 'running', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE ${again}`,
    [table],
  );
  return (await readCheckpoint(db, table)) ?? firstCheckpoint;
}

/**
 * A row that only its own transaction ever sees, taken away again before the commit: others can wait for the end of that
 * transaction by asking for the row.
 */
export async function writeMark(connection: Connection, mark: string): Promise<void> {
  await connection.query(
    `INSERT INTO ${backfillTable} (table_name, state, started_at, updated_at)
     VALUES (?, 'running', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))`,
    [mark],
  );
}

/** Resolves when the transaction that has written the mark has ended, in whatever way. */
export async function awaitMark(connection: Connection, mark: string): Promise<void> {
  await connection.query(`SELECT 1 FROM ${backfillTable} WHERE table_name = ? FOR UPDATE`, [mark]);
}

export async function removeMark(connection: Connection, mark: string): Promise<void> {
  await connection.query(`DELETE FROM ${backfillTable} WHERE table_name = ?`, [mark]);
}

/** Moves the checkpoint from where this copy has left it. @throws CheckpointMoved */
export async function moveCheckpoint(
  connection: Connection,
  table: string,
  from: Checkpoint,
  to: Checkpoint,
): Promise<void> {
  const moved = await affectedBy(
    connection,
    `UPDATE ${backfillTable} SET state = ?, last_key = ?, rows_read = ?, rows_written = ?, rows_parked = ?,
       updated_at = UTC_TIMESTAMP(6)
     WHERE table_name = ? AND state = 'running' AND last_key <=> ? AND rows_read = ?`,
    [
      to.state,
      keyText(to.lastKey),
      to.rowsRead,
      to.rowsWritten,
      to.rowsParked,
      table,
      keyText(from.lastKey),
      from.rowsRead,
    ],
  );
  if (moved === 0) throw new CheckpointMoved(table);
}

const keyText = (place: KeyPlace | null): string | null => (place === null ? null : JSON.stringify(place));
