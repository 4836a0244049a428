import type { FenceOwner } from '@strangler/platform/contracts/fence-refusal.ts';
import type { Pool } from 'mysql2/promise';
import { changeTable } from '../capture/change-table.ts';
import { dropTriggerSql, dropTriggers } from '../capture/drop-triggers.ts';
import type { CaptureOutcome } from '../capture/install-capture.ts';
import { type LockOptions, withTableLocked } from '../capture/lock-table.ts';
import { compareFenceTriggers, type LiveFenceTrigger, readFenceTriggers } from './drift.ts';
import { type FencePlan, fenceSqlMode } from './fence-plan.ts';
import { dropFenceRow, ensureFenceRow, type FenceState } from './fence-state.ts';

export type FenceInstallation = {
  slice: string;
  database: string;
  /** What the fence is when there is none yet; one that is there stays as it is, open or closed, its epoch too. */
  initially: { state: FenceState; epoch: number; owner: FenceOwner };
  /** One of each of the slice's tables that move with it; none of its reference tables. */
  plans: readonly FencePlan[];
};

/** What was done to each table of a slice, and how long its writers may have waited for it. */
export type FenceInstallationOutcome = CaptureOutcome;

/**
 * Makes the fence's row and the triggers of all of a slice's tables, one by one; when it returns, every write asks
 * the fence, also of transactions that were open before. What is there and right is left alone, what is not is replaced
 * under the table's lock, without a write slipping through. Killed half-way it is run again, or `removeFence`.
 * @throws TableBusyError, and what the server refuses.
 */
export async function installFence(
  pool: Pool,
  { slice, database, initially, plans }: FenceInstallation,
  lock: LockOptions = {},
): Promise<FenceInstallationOutcome[]> {
  await ensureFenceRow(pool, { slice, ...initially });
  const outcomes: FenceInstallationOutcome[] = [];
  for (const plan of plans) {
    const live = await readFenceTriggers(pool, database, slice);
    const drifted = new Set(compareFenceTriggers([plan], ofPlan(plan, live)).map(({ name }) => name));
    const old = live.filter(({ name }) => drifted.has(name));
    const made = plan.triggers.filter(({ name }) => drifted.has(name));
    if (drifted.size === 0) {
      outcomes.push({ table: plan.table.name, done: 'unchanged', lockedMs: 0 });
      continue;
    }
    const lockedMs =
      old.length > 0
        ? await replaceUnderLock(pool, plan, { old, made }, lock)
        : await changeTable(
            pool,
            plan.table,
            { statements: made.map(({ createSql }) => createSql), sqlMode: fenceSqlMode },
            lock,
          );
    outcomes.push({ table: plan.table.name, done: old.length > 0 ? 'replaced' : 'created', lockedMs });
  }
  outcomes.push(...(await dropStrays(pool, { slice, database, plans }, lock)));
  return outcomes;
}

/**
 * Takes away every trigger that fences for a slice, whichever table it is on, and its row: the tables are as they were,
 * open to whoever has the right to write.
 * @throws TableBusyError with what was not yet taken away still in place; run it again.
 */
export async function removeFence(
  pool: Pool,
  { slice, database }: { slice: string; database: string },
  lock: LockOptions = {},
): Promise<FenceInstallationOutcome[]> {
  const outcomes = await dropStrays(pool, { slice, database, plans: [] }, lock);
  await dropFenceRow(pool, slice);
  return outcomes;
}

/** Live triggers that stand on the plan's table or bear one of its names. */
const ofPlan = ({ table, triggers }: FencePlan, live: readonly LiveFenceTrigger[]): LiveFenceTrigger[] =>
  live.filter((found) => found.table === table.name || triggers.some(({ name }) => name === found.name));

async function dropStrays(
  pool: Pool,
  { slice, database, plans }: Pick<FenceInstallation, 'slice' | 'database' | 'plans'>,
  lock: LockOptions,
): Promise<FenceInstallationOutcome[]> {
  const live = await readFenceTriggers(pool, database, slice);
  const names = new Set(
    compareFenceTriggers(plans, live).flatMap(({ kind, name }) => (kind === 'stray' ? [name] : [])),
  );
  return await dropTriggers(
    pool,
    database,
    live.filter(({ name }) => names.has(name)),
    lock,
  );
}

/** Under the table's lock, so that no write slips past a fence that is closed. */
async function replaceUnderLock(
  pool: Pool,
  { table }: FencePlan,
  { old, made }: { old: readonly LiveFenceTrigger[]; made: FencePlan['triggers'] },
  lock: LockOptions,
): Promise<number> {
  const late: string[] = [];
  const lockedMs = await withTableLocked(
    pool,
    table,
    async (connection) => {
      for (const statement of dropTriggerSql(table.database, old)) await connection.query(statement);
      await connection.query(`SET SESSION sql_mode = '${fenceSqlMode}', NAMES utf8mb4`);
      for (const { createSql } of made) {
        await connection.query(createSql).catch((error: unknown) => {
          if (!isReferencedTriggerUnseen(error)) throw error;
          late.push(createSql);
        });
      }
    },
    lock,
  );
  return Math.max(lockedMs, await changeTable(pool, table, { statements: late, sqlMode: fenceSqlMode }, lock));
}

/**
 * MySQL, under LOCK TABLES: a table that its own triggers come back to, by way of another table's, is opened twice, and the
 * one that CREATE TRIGGER looks at has no triggers to precede.
 */
const isReferencedTriggerUnseen = (error: unknown): boolean => (error as { errno?: number }).errno === 3011;
