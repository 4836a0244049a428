import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import type { Pool } from 'mysql2/promise';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { affectedBy, backfillTable, parkedTable, versionsTable } from './own-tables.ts';

export type PruneRequest = {
  /** The database whose changes are applied. */
  source: Queryable;
  /** Made by `createApplyPool`. */
  target: Pool;
  /** Target tables. */
  tables: readonly string[];
  /** Whether rows are copied into them at all; true unless told. */
  copied?: boolean;
  /** Changes of these tables that lie with the dead letters, where somebody may send them again at any time. */
  deadLetters: number;
  /** Versions that one transaction looks at, 2000 unless told. */
  pageRows?: number;
  signal?: AbortSignal;
};

export type PruneOutcome = {
  /** Tombstones taken away. */
  pruned: number;
  /** Tables that were left as they are, and why. */
  left: { table: string; why: 'dead letters' | 'not copied' }[];
};

/**
 * Takes away tombstones that nothing can come back against any more. One is needed as long as an older change of its
 * key may still be delivered, or a row that was read before the delete may still be copied:
 * - The outbox has let go of the delete, and so of all that is older: rows go by whole partitions, when they are
 *   published, applied and past the horizon. What is in the stream still is followed there by the delete itself.
 * - No change lies with the dead letters, and none of this key is parked.
 * - The table's copy is done, where there is one.
 * To be called now and then.
 */
export async function pruneTombstones(request: PruneRequest): Promise<PruneOutcome> {
  const { source, target, tables, copied = true, deadLetters, pageRows = 2_000, signal } = request;
  const outcome: PruneOutcome = { pruned: 0, left: [] };
  const below = await lowestId(source);
  for (const table of tables) {
    if (deadLetters > 0) outcome.left.push({ table, why: 'dead letters' });
    else if (copied && !(await isCopied(target, table))) outcome.left.push({ table, why: 'not copied' });
    else if (below !== undefined) outcome.pruned += await pruneTable(target, { table, below, pageRows, signal });
  }
  return outcome;
}

/** Of the rows that the outbox still has; undefined where it has none. */
async function lowestId(source: Queryable): Promise<string | undefined> {
  const [row] = await rowsOf<{ id: string | null }>(source, `SELECT CAST(MIN(id) AS CHAR) AS id FROM ${outboxTable}`);
  return row?.id ?? undefined;
}

async function isCopied(target: Queryable, table: string): Promise<boolean> {
  const [row] = await rowsOf<{ state: string }>(target, `SELECT state FROM ${backfillTable} WHERE table_name = ?`, [
    table,
  ]);
  return row?.state === 'done';
}

type Page = { table: string; below: string; pageRows: number; signal: AbortSignal | undefined };

/** Walks along the primary key, since no index tells tombstones from the rest. */
async function pruneTable(target: Pool, { table, below, pageRows, signal }: Page): Promise<number> {
  let pruned = 0;
  let after: Buffer | undefined;
  for (;;) {
    if (signal?.aborted) return pruned;
    const page: { key: Buffer; prunable: number }[] = await rowsOf(
      target,
      `SELECT key_text AS \`key\`, deleted = 1 AND id < CAST(? AS UNSIGNED) AS prunable FROM ${versionsTable}
       WHERE table_name = ?${after === undefined ? '' : ' AND key_text > ?'} ORDER BY key_text LIMIT ?`,
      [below, table, ...(after === undefined ? [] : [after]), pageRows],
    );
    const keys = page.filter(({ prunable }) => Number(prunable) === 1).map(({ key }) => key);
    if (keys.length > 0) pruned += await prune(target, { table, below, keys });
    if (page.length < pageRows) return pruned;
    after = page.at(-1)!.key;
  }
}

/** The rows are looked at again: a key may have come back since. */
async function prune(
  target: Pool,
  { table, below, keys }: { table: string; below: string; keys: readonly Buffer[] },
): Promise<number> {
  return await withTransaction(target, 'READ COMMITTED', (connection) =>
    affectedBy(
      connection,
      `DELETE FROM ${versionsTable}
       WHERE table_name = ? AND key_text IN (?) AND deleted = 1 AND id < CAST(? AS UNSIGNED)
         AND NOT EXISTS (SELECT 1 FROM ${parkedTable} AS p WHERE p.table_name = ? AND p.key_text = ${versionsTable}.key_text)`,
      [table, keys, below, table],
    ),
  );
}
