import { partCount } from './part.ts';
import { appliedTable, type Queryable, rowsOf } from './schema.ts';

/** How far one slice's captured changes have been applied: of each part, the id up to which they are. */
export type AppliedMark = { slice: string; part: number; id: string };

/**
 * From now on rows of a slice's changes are kept in the outbox until they are told to be applied, however old they are.
 * What is known already stays. For whoever captures the slice.
 */
export async function requireApplied(db: Queryable, slice: string): Promise<void> {
  const parts = Array.from({ length: partCount }, (_, part) => [slice, part]);
  await db.query(
    `INSERT IGNORE INTO ${appliedTable} (slice, part, id, told_at) VALUES ${parts.map(() => '(?, ?, 0, UTC_TIMESTAMP(6))').join(', ')}`,
    parts.flat(),
  );
}

/** The rows of a slice's changes go when they are old and published, as if nobody applied them. */
export async function forgetApplied(db: Queryable, slice: string): Promise<void> {
  await db.query(`DELETE FROM ${appliedTable} WHERE slice = ?`, [slice]);
}

/**
 * Tells that changes of a slice are applied: of each part named, up to this id. Never lowers what was told, and says
 * nothing of a slice for which it is not required.
 */
export async function tellApplied(
  db: Queryable,
  slice: string,
  marks: readonly { part: number; id: string }[],
): Promise<void> {
  for (const { part, id } of marks) {
    await db.query(
      `UPDATE ${appliedTable} SET id = GREATEST(id, CAST(? AS UNSIGNED)), told_at = UTC_TIMESTAMP(6) WHERE slice = ? AND part = ?`,
      [id, slice, part],
    );
  }
}

/** What was told of all slices. */
export async function readApplied(db: Queryable): Promise<AppliedMark[]> {
  return await rowsOf<AppliedMark>(
    db,
    `SELECT slice, part, CAST(a.id AS CHAR) AS id FROM ${appliedTable} AS a ORDER BY slice, part`,
  );
}
