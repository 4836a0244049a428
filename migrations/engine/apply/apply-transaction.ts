import { acquireConnection, CommitOutcomeUnknown } from '@strangler/platform/mysql/transaction.ts';
import type { Connection, Pool } from 'mysql2/promise';

/** One SQL statement with what its placeholders stand for. */
export type Statement = { sql: string; values: readonly unknown[] };

/** What a statement gave: the rows of a SELECT, or the driver's result of any other. */
export type StatementResult = readonly unknown[];

export type ApplyTransaction<T> = {
  /** Run along with the beginning; what they give is handed to `work`. */
  first: readonly Statement[];
  work(
    connection: Connection,
    found: readonly StatementResult[],
  ): Promise<{
    result: T;
    /** Run before the COMMIT, and along with it. */
    last: readonly Statement[];
  }>;
  /** Run along with the COMMIT, after it. */
  after: readonly Statement[];
};

/**
 * One transaction of few round trips, READ COMMITTED as the sessions of an apply pool are: what it begins with and ends
 * with goes along with BEGIN and COMMIT. Gives what `work` and what the last statements gave. When anything fails it is
 * rolled back and the same is thrown; CommitOutcomeUnknown when the COMMIT was not answered.
 */
export async function inApplyTransaction<T>(
  pool: Pool,
  { first, work, after }: ApplyTransaction<T>,
): Promise<{ result: T; after: readonly StatementResult[] }> {
  const connection = await acquireConnection(pool, 10_000);
  try {
    const [, ...found] = await together(connection, [begin, ...first]);
    const { result, last } = await work(connection, found);
    const done = await together(connection, [...last, commit, ...after]).catch((error: unknown) => {
      const answered = typeof (error as { sqlState?: unknown }).sqlState === 'string';
      throw answered ? error : new CommitOutcomeUnknown(error);
    });
    connection.release();
    return { result, after: done.slice(last.length + 1) };
  } catch (error) {
    // A connection that cannot roll back may hold locks: it must not go back into the pool.
    await connection.query('ROLLBACK').then(
      () => connection.release(),
      () => connection.destroy(),
    );
    throw error;
  }
}

const begin: Statement = { sql: 'START TRANSACTION', values: [] };
const commit: Statement = { sql: 'COMMIT', values: [] };

/** Several statements in one round trip, each as if it came after the one before was answered; the first that fails ends it. */
async function together(connection: Connection, statements: readonly Statement[]): Promise<StatementResult[]> {
  const sql = statements.map((one) => one.sql).join(';\n');
  const values = statements.flatMap((one) => one.values);
  const [results] = await connection.query(sql, values);
  // Of one statement the driver gives its result, of several a list of theirs.
  return (statements.length === 1 ? [results] : results) as StatementResult[];
}
