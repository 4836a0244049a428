import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { applyConsumerName, applyQueues } from '../pipe/apply-consumer.ts';
import { canaryTable } from '../pipe/canary.ts';
import { quoteName } from '../schema/identifiers.ts';
import { rowsOf } from '../schema/queryable.ts';
import { dropTargetTables, ownTables, positionsTable, tablesByTarget } from './own-tables.ts';

export type Forgotten = {
  /** Target tables that were emptied; of how many rows, where that is known. */
  emptied: { table: string; rows: number | null }[];
};

/** Rows that one statement deletes where a table cannot be truncated. */
const deletedAtOnce = 5_000;

/**
 * Takes everything of a slice out of its target: what the pipe knows of its rows, and then the rows. The pipe's own tables
 * go with the last slice.
 */
export async function forgetSlice(
  target: Pool,
  { slice, targets }: { slice: string; targets: readonly string[] },
): Promise<Forgotten> {
  await forgetVersions(target, { pipe: slice, targets });
  const present = await presentTables(target, targets);
  const emptied: Forgotten['emptied'] = [];
  for (const table of targets) {
    if (!present.has(table)) continue;
    const [row] = await rowsOf(target, `SELECT 1 FROM ${quoteName(table)} LIMIT 1`);
    if (row !== undefined) emptied.push({ table, rows: await empty(target, table) });
  }
  await dropUnused(target);
  return { emptied };
}

/**
 * Takes what a pipe knows of its rows out of its target and leaves the rows, which are the target's own. The pipe's own
 * tables go with the last pipe.
 */
export async function forgetPipe(
  target: Pool,
  { pipe, targets }: { pipe: string; targets: readonly string[] },
): Promise<void> {
  await forgetVersions(target, { pipe, targets });
  await dropUnused(target);
}

/** First the floor, without which no applier writes: whoever is at it is waited for. */
async function forgetVersions(
  target: Pool,
  { pipe, targets }: { pipe: string; targets: readonly string[] },
): Promise<void> {
  const present = await presentTables(target, ownTables);
  if (!present.has(positionsTable)) return;
  await withTransaction(target, 'READ COMMITTED', async (connection) => {
    const names = [applyConsumerName(pipe), ...applyQueues(pipe)];
    await connection.query(`DELETE FROM ${positionsTable} WHERE name IN (?)`, [names]);
  });
  for (const table of tablesByTarget) {
    if (present.has(table)) {
      await target.query(`DELETE FROM ${table} WHERE table_name IN (?)`, [[...targets, canaryTable]]);
    }
  }
}

async function dropUnused(target: Pool): Promise<void> {
  if (!(await presentTables(target, ownTables)).has(positionsTable)) return;
  const [other] = await rowsOf(target, `SELECT 1 FROM ${positionsTable} LIMIT 1`);
  if (other === undefined) await dropTargetTables(target);
}

async function presentTables(target: Pool, names: readonly string[]): Promise<Set<string>> {
  const rows = await rowsOf<{ name: string }>(
    target,
    'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN (?)',
    [names],
  );
  return new Set(rows.map(({ name }) => name));
}

/** By TRUNCATE, which needs the right to drop the table and starts its ids anew; else by deleting. */
async function empty(target: Pool, table: string): Promise<number | null> {
  try {
    await target.query(`TRUNCATE TABLE ${quoteName(table)}`);
    return null;
  } catch (error) {
    const { errno } = error as { errno?: number };
    // ER_TABLEACCESS_DENIED_ERROR; ER_TRUNCATE_ILLEGAL_FK, where another table points at it.
    if (errno !== 1142 && errno !== 1701) throw error;
  }
  let rows = 0;
  for (;;) {
    const [result] = await target.query(`DELETE FROM ${quoteName(table)} LIMIT ${deletedAtOnce}`);
    const { affectedRows } = result as { affectedRows: number };
    rows += affectedRows;
    if (affectedRows < deletedAtOnce) return rows;
  }
}
