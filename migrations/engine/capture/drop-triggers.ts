import type { Pool } from 'mysql2/promise';
import { quoteName } from '../schema/identifiers.ts';
import { changeTable } from './change-table.ts';
import type { LockOptions } from './lock-table.ts';

/** What was done to a table, and how long its writers may have waited for it. */
export type DroppedTriggers = { table: string; done: 'dropped'; lockedMs: number };

/**
 * Drops triggers, table by table.
 * @throws TableBusyError with what was not yet taken away still in place
 */
export async function dropTriggers(
  pool: Pool,
  database: string,
  triggers: readonly { name: string; table: string }[],
  lock: LockOptions,
): Promise<DroppedTriggers[]> {
  const outcomes: DroppedTriggers[] = [];
  for (const table of new Set(triggers.map((trigger) => trigger.table))) {
    const own = triggers.filter((trigger) => trigger.table === table);
    const statements = dropTriggerSql(database, own);
    outcomes.push({
      table,
      done: 'dropped',
      lockedMs: await changeTable(pool, { database, name: table }, { statements }, lock),
    });
  }
  return outcomes;
}

export const dropTriggerSql = (database: string, triggers: readonly { name: string }[]): string[] =>
  triggers.map(({ name }) => `DROP TRIGGER IF EXISTS ${quoteName(database)}.${quoteName(name)}`);
