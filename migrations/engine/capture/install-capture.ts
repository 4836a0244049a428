import { forgetApplied, requireApplied } from '@strangler/platform/outbox/applied.ts';
import { appliedTable } from '@strangler/platform/outbox/schema.ts';
import type { Pool } from 'mysql2/promise';
import { rowsOf } from '../schema/queryable.ts';
import type { CapturePlan } from './capture-plan.ts';
import { dropCaptureState, installCaptureState, setEpoch } from './capture-state.ts';
import { changeTable } from './change-table.ts';
import { compareTriggers, type LiveTrigger, readCaptureTriggers } from './drift.ts';
import { dropTriggerSql, dropTriggers } from './drop-triggers.ts';
import { type LockOptions, withTableLocked } from './lock-table.ts';
import { captureSqlMode } from './record-row.ts';

export type CaptureInstallation = {
  slice: string;
  /** The source's database. */
  database: string;
  /** Under which changes are captured from now on; never below the present one. */
  epoch: number;
  /** One of each of the slice's tables. */
  plans: readonly CapturePlan[];
};

/** What was done to each table of a slice, and how long its writers may have waited for it. */
export type CaptureOutcome = {
  table: string;
  done: 'created' | 'replaced' | 'unchanged' | 'dropped';
  lockedMs: number;
};

/**
 * Makes the triggers of all of a slice's tables, one by one; when it returns, every change is captured, also of
 * transactions that were open before. Until then some are captured and some are not, of one row too: whoever begins to
 * apply, begins above what was captured by then (see `markFloor`). What is there and right is left alone, what is not is
 * replaced under the table's lock, without a change slipping through. The outbox must stand, and keeps from now on what the slice's applier has not told to be applied. Killed half-way it is run again, or `removeCapture`.
 * @throws TableBusyError, EpochError, and what the server refuses.
 */
export async function installCapture(
  pool: Pool,
  { slice, database, epoch, plans }: CaptureInstallation,
  lock: LockOptions = {},
): Promise<CaptureOutcome[]> {
  await installCaptureState(pool, plans.some(({ dialect }) => dialect === 'mariadb') ? 'mariadb' : 'mysql');
  await setEpoch(pool, slice, epoch);
  await requireApplied(pool, slice);
  const outcomes: CaptureOutcome[] = [];
  for (const plan of plans) {
    const live = await readCaptureTriggers(pool, database, slice);
    const drifted = new Set(compareTriggers([plan], ofPlan(plan, live)).map(({ name }) => name));
    const old = live.filter(({ name }) => drifted.has(name));
    const made = plan.triggers.filter(({ name }) => drifted.has(name));
    if (drifted.size === 0) {
      outcomes.push({ table: plan.source.name, done: 'unchanged', lockedMs: 0 });
      continue;
    }
    const lockedMs =
      old.length > 0
        ? await withTableLocked(
            pool,
            plan.source,
            async (connection) => {
              for (const statement of dropTriggerSql(database, old)) await connection.query(statement);
              await connection.query(`SET SESSION sql_mode = '${captureSqlMode}', NAMES utf8mb4`);
              for (const { createSql } of made) await connection.query(createSql);
            },
            lock,
          )
        : await changeTable(
            pool,
            plan.source,
            { statements: made.map(({ createSql }) => createSql), sqlMode: captureSqlMode },
            lock,
          );
    outcomes.push({ table: plan.source.name, done: old.length > 0 ? 'replaced' : 'created', lockedMs });
  }
  outcomes.push(...(await dropStrays(pool, { slice, database, plans }, lock)));
  return outcomes;
}

/**
 * Takes away every trigger that captures for a slice, whichever table it is on, and its epoch: the tables are as they
 * were. The outbox stays: others may write to it.
 * @throws TableBusyError with what was not yet taken away still in place; run it again.
 */
export async function removeCapture(
  pool: Pool,
  { slice, database }: { slice: string; database: string },
  lock: LockOptions = {},
): Promise<CaptureOutcome[]> {
  const outcomes = await dropStrays(pool, { slice, database, plans: [] }, lock);
  await dropCaptureState(pool, slice);
  if (await hasOutbox(pool)) await forgetApplied(pool, slice);
  return outcomes;
}

/**
 * Takes away the triggers that capture for a slice on all tables but some, which are captured on as they are.
 * @throws TableBusyError with what was not yet taken away still in place; run it again.
 */
export async function narrowCapture(
  pool: Pool,
  { slice, database, keep }: { slice: string; database: string; keep: readonly string[] },
  lock: LockOptions = {},
): Promise<CaptureOutcome[]> {
  const kept = new Set(keep.map((name) => name.toLowerCase()));
  const live = await readCaptureTriggers(pool, database, slice);
  return await dropTriggers(
    pool,
    database,
    live.filter(({ table }) => !kept.has(table.toLowerCase())),
    lock,
  );
}

const hasOutbox = async (pool: Pool): Promise<boolean> =>
  (await rowsOf(pool, 'SHOW TABLES LIKE ?', [appliedTable.replaceAll('_', '\\_')])).length > 0;

/** Live triggers that stand on the plan's table or bear one of its names. */
const ofPlan = ({ source, triggers }: CapturePlan, live: readonly LiveTrigger[]): LiveTrigger[] =>
  live.filter(({ name, table }) => table === source.name || triggers.some((trigger) => trigger.name === name));

async function dropStrays(
  pool: Pool,
  { slice, database, plans }: Omit<CaptureInstallation, 'epoch'>,
  lock: LockOptions,
): Promise<CaptureOutcome[]> {
  const live = await readCaptureTriggers(pool, database, slice);
  const names = new Set(compareTriggers(plans, live).flatMap(({ kind, name }) => (kind === 'stray' ? [name] : [])));
  return await dropTriggers(
    pool,
    database,
    live.filter(({ name }) => names.has(name)),
    lock,
  );
}
