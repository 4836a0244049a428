import { verifyRecordTable } from '../apply/own-tables.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import type { VerifyTotals } from './verify.ts';

/** What a comparison of a table that came to an end has found. */
export type Verification = Pick<VerifyTotals, 'table' | 'rowsCompared' | 'differences' | 'unsettled'> & {
  startedAt: Date;
  finishedAt: Date;
  /** Whether every row was compared. */
  complete: boolean;
};

/** Whether both tables were proven to hold the same rows. */
export const isEqual = (found: Pick<Verification, 'complete' | 'differences' | 'unsettled'>): boolean =>
  found.complete && found.differences === 0 && found.unsettled === 0;

/** Notes in the target what a comparison has found; of each table, the last one stands. */
export async function recordVerification(target: Queryable, found: Verification): Promise<void> {
  const { table, startedAt, finishedAt, rowsCompared, differences, unsettled, complete } = found;
  await target.query(
    `INSERT INTO ${verifyRecordTable} (table_name, started_at, finished_at, rows_compared, differences, unsettled, complete)
     VALUES (?, ?, ?, ?, ?, ?, ?)
     ON DUPLICATE KEY UPDATE started_at = VALUES(started_at), finished_at = VALUES(finished_at),
       rows_compared = VALUES(rows_compared), differences = VALUES(differences), unsettled = VALUES(unsettled),
       complete = VALUES(complete)`,
    [table, startedAt, finishedAt, rowsCompared, differences, unsettled, complete ? 1 : 0],
  );
}

type RecordRow = Omit<Verification, 'complete' | 'table'> & { name: string; complete: number };

/** The last comparison of each table, by target table; tables that were never compared are not in it. */
export async function readVerifications(target: Queryable): Promise<Map<string, Verification>> {
  const rows = await rowsOf<RecordRow>(
    target,
    `SELECT table_name AS name, started_at AS startedAt, finished_at AS finishedAt, rows_compared AS rowsCompared,
            differences, unsettled, complete
     FROM ${verifyRecordTable} ORDER BY table_name`,
  );
  return new Map(
    rows.map(({ name, complete, ...rest }) => [name, { table: name, ...rest, complete: Number(complete) === 1 }]),
  );
}
