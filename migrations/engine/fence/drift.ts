import type { Drift } from '../capture/drift.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { type FencePlan, fenceSqlMode, readFenceSignature } from './fence-plan.ts';
import { fenceTable, readFence } from './fence-state.ts';

/** A trigger of the database that fences for a slice. */
export type LiveFenceTrigger = {
  name: string;
  table: string;
  event: string;
  timing: string;
  body: string;
  sqlMode: string;
  /** 1 for the first to run before this event. */
  order: number;
};

/** Every trigger of the database that fences for the slice, by what stands in its text. */
export async function readFenceTriggers(db: Queryable, database: string, slice: string): Promise<LiveFenceTrigger[]> {
  const triggers = await rowsOf<LiveFenceTrigger>(
    db,
    `SELECT TRIGGER_NAME AS name, EVENT_OBJECT_TABLE AS \`table\`, EVENT_MANIPULATION AS event, ACTION_TIMING AS timing,
            ACTION_STATEMENT AS body, SQL_MODE AS sqlMode, ACTION_ORDER AS \`order\`
     FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ? AND TRIGGER_NAME LIKE 'strangler\\_%'
     ORDER BY TRIGGER_NAME`,
    [database],
  );
  return triggers.filter(({ body }) => readFenceSignature(body)?.slice === slice);
}

/** Compares the plans of all of a slice's tables with the live triggers; none means that every write asks the fence. */
export const compareFenceTriggers = (plans: readonly FencePlan[], live: readonly LiveFenceTrigger[]): Drift[] => {
  const byName = new Map(live.map((trigger) => [trigger.name, trigger]));
  const drifts: Drift[] = [];
  for (const { table, triggers } of plans) {
    for (const expected of triggers) {
      const found = byName.get(expected.name);
      byName.delete(expected.name);
      const drift = (kind: Drift['kind'], reason: string) =>
        drifts.push({ kind, name: expected.name, table: table.name, reason });
      if (found === undefined) drift('missing', `no ${expected.event} of ${table.name} asks the fence`);
      else if (found.table !== table.name || found.event !== expected.event || found.timing !== 'BEFORE') {
        drift(
          'altered',
          `expected BEFORE ${expected.event} ON ${table.name}, found ${found.timing} ${found.event} ON ${found.table}`,
        );
      } else if (found.body !== expected.body) {
        if (readFenceSignature(found.body)?.intact) drift('outdated', 'it was made by another version');
        else drift('altered', 'its text is not the one it was made with');
      } else if (found.sqlMode !== fenceSqlMode) {
        drift('altered', `expected sql_mode ${fenceSqlMode}, found ${found.sqlMode || 'none'}`);
      } else if (Number(found.order) !== 1) {
        drift('altered', `expected it to run first before ${expected.event}, found it in place ${found.order}`);
      }
    }
  }
  for (const { name, table } of byName.values()) {
    drifts.push({ kind: 'stray', name, table, reason: `the slice has no table ${table} to fence under this name` });
  }
  return drifts;
};

/** All that a slice's fence lacks: triggers, and the row that these read. */
export async function findFenceDrift(
  db: Queryable,
  database: string,
  slice: string,
  plans: readonly FencePlan[],
): Promise<Drift[]> {
  const drifts = compareFenceTriggers(plans, await readFenceTriggers(db, database, slice));
  if ((await readFence(db, slice)) === undefined) {
    const reason = `it has no row of ${slice}: every write to a fenced table fails without it`;
    drifts.push({ kind: 'missing', name: fenceTable, table: fenceTable, reason });
  }
  return drifts;
}
