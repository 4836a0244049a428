import { randomBytes } from 'node:crypto';
import type { FenceOwner } from '@strangler/platform/contracts/fence-refusal.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';

/** The table with one row a slice, which the fence's triggers read with a lock before every write. */
export const fenceTable = 'strangler_fence';

export type FenceState = 'open' | 'closed';

/** A slice's fence in one database. */
export type Fence = {
  slice: string;
  /** `closed`: only sessions of the pipe that have presented the pass may write. `open`: all but those may. */
  state: FenceState;
  /** Under which it was last moved; it never goes back. */
  epoch: number;
  owner: FenceOwner;
  /** UTC, with microseconds; null while it is open. */
  closedAt: string | null;
  reason: string;
};

/** The slice has no fence in this database. */
export class NoFenceError extends Error {
  override name = 'NoFenceError';
}

const text = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

/** What makes the table, where it is not there yet. */
export const fenceTableSql = `CREATE TABLE IF NOT EXISTS ${fenceTable} (
  slice VARCHAR(64) ${text} NOT NULL PRIMARY KEY,
  state ENUM('open','closed') ${text} NOT NULL,
  epoch INT UNSIGNED NOT NULL,
  owner VARCHAR(16) ${text} NOT NULL,
  pass VARBINARY(64) NULL,
  closed_at DATETIME(6) NULL,
  changed_at DATETIME(6) NOT NULL,
  reason VARCHAR(255) ${text} NOT NULL DEFAULT ''
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`;

/** A pass that nobody can guess and nobody has had before. */
export const drawPass = (): string => randomBytes(18).toString('base64url');

/** Makes the slice's row where there is none; one that is there stays as it is. */
export async function ensureFenceRow(
  db: Queryable,
  { slice, state, epoch, owner }: Pick<Fence, 'slice' | 'state' | 'epoch' | 'owner'>,
): Promise<void> {
  await db.query(fenceTableSql);
  // The INSERT alone would wait for every open transaction that has written.
  if ((await readFence(db, slice)) !== undefined) return;
  await db.query(
    `INSERT IGNORE INTO ${fenceTable} (slice, state, epoch, owner, pass, closed_at, changed_at)
     VALUES (?, ?, ?, ?, ?, IF(? = 'closed', UTC_TIMESTAMP(6), NULL), UTC_TIMESTAMP(6))`,
    [slice, state, epoch, owner, state === 'closed' ? drawPass() : null, state],
  );
}

/** The slice's fence as it is committed; undefined where it has none. */
export async function readFence(db: Queryable, slice: string): Promise<Fence | undefined> {
  const [row] = await rowsOf<Fence>(
    db,
    `SELECT slice, state, epoch, owner, CAST(closed_at AS CHAR) AS closedAt, reason FROM ${fenceTable} WHERE slice = ?`,
    [slice],
  ).catch((error: unknown) => {
    if (isMissingTable(error)) return [];
    throw error;
  });
  return row;
}

/** Forgets a slice, and drops the table with the last of them. The slice's triggers must be gone. */
export async function dropFenceRow(db: Queryable, slice: string): Promise<void> {
  try {
    await db.query(`DELETE FROM ${fenceTable} WHERE slice = ?`, [slice]);
    const [other] = await rowsOf(db, `SELECT 1 FROM ${fenceTable} LIMIT 1`);
    if (other === undefined) await db.query(`DROP TABLE IF EXISTS ${fenceTable}`);
  } catch (error) {
    if (!isMissingTable(error)) throw error;
  }
}

/**
 * Presents the fence's pass in a session of the pipe (one with `@strangler_apply` set), which is let through a closed
 * fence with it. Outside of a transaction, whose snapshot may be of an earlier closing: when the session begins its
 * work, and again when a write was refused because of a stale pass and the pipe's work is still this session's.
 *
 * The pass is drawn anew at each closing and stands in the fence's row, for whoever may read that: it keeps out
 * sessions that have `@strangler_apply` set by mistake and those left over from an earlier owner, not an account that
 * may read the row or drop the triggers.
 */
export async function presentPass(session: Queryable, slice: string): Promise<'presented' | 'no-fence'> {
  try {
    const [row] = await rowsOf<{ pass: string | null }>(
      session,
      `SELECT CONVERT(pass USING utf8mb4) AS pass FROM ${fenceTable} WHERE slice = ?`,
      [slice],
    );
    await session.query('SET @strangler_pass = ?', [row?.pass ?? null]);
    return row?.pass == null ? 'no-fence' : 'presented';
  } catch (error) {
    if (isMissingTable(error)) return 'no-fence';
    throw error;
  }
}

const isMissingTable = (error: unknown): boolean => (error as { errno?: number } | null)?.errno === 1146;
