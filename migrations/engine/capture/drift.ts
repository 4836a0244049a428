import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import { canaryTable } from '../pipe/canary.ts';
import { quoteName } from '../schema/identifiers.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { isRetired } from '../stages/retired-name.ts';
import { type CapturePlan, readSignature } from './capture-plan.ts';
import { hasRecorder, readEpoch } from './capture-state.ts';
import { captureSqlMode, captureStateTable, recorder } from './record-row.ts';

/**
 * `missing`: it is not there, and changes are lost or refused. `altered`: somebody has changed it by hand. `outdated`:
 * the slice file or the table has changed since it was made. `stray`: it captures a table that is not the slice's any
 * more, or under an old name.
 */
export type DriftKind = 'missing' | 'altered' | 'outdated' | 'stray';

/** In what the database's triggers are not those that the slice file and the live tables call for. */
export type Drift = {
  kind: DriftKind;
  /** The trigger's name, or the table's that the triggers need. */
  name: string;
  table: string;
  reason: string;
};

/** A trigger of the database that captures for a slice. */
export type LiveTrigger = { name: string; table: string; event: string; timing: string; body: string; sqlMode: string };

/** Every trigger of the database that captures for the slice, by what stands in its text. */
export async function readCaptureTriggers(db: Queryable, database: string, slice: string): Promise<LiveTrigger[]> {
  const triggers = await rowsOf<LiveTrigger>(
    db,
    `SELECT TRIGGER_NAME AS name, EVENT_OBJECT_TABLE AS \`table\`, EVENT_MANIPULATION AS event, ACTION_TIMING AS timing,
            ACTION_STATEMENT AS body, SQL_MODE AS sqlMode
     FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ? AND TRIGGER_NAME LIKE 'strangler\\_%'
     ORDER BY TRIGGER_NAME`,
    [database],
  );
  const own = triggers.filter(({ body }) => readSignature(body)?.slice === slice);
  return await Promise.all(
    own.map(async (trigger) => ({ ...trigger, body: await originalBody(db, database, trigger) })),
  );
}

/** information_schema of MySQL misquotes names with a backquote in them; the statement itself is kept as it was. */
async function originalBody(db: Queryable, database: string, { name, body }: LiveTrigger): Promise<string> {
  const [row] = await rowsOf<Record<string, string>>(
    db,
    `SHOW CREATE TRIGGER ${quoteName(database)}.${quoteName(name)}`,
  );
  return /FOR EACH ROW (BEGIN.*)$/s.exec(row?.['SQL Original Statement'] ?? '')?.[1] ?? body;
}

/** Compares the plans of all of a slice's tables with the live triggers; none means that every change is captured. */
export const compareTriggers = (plans: readonly CapturePlan[], live: readonly LiveTrigger[]): Drift[] => {
  const byName = new Map(live.map((trigger) => [trigger.name, trigger]));
  const drifts: Drift[] = [];
  for (const { source, triggers } of plans) {
    for (const expected of triggers) {
      const found = byName.get(expected.name);
      byName.delete(expected.name);
      const drift = (kind: Drift['kind'], reason: string) =>
        drifts.push({ kind, name: expected.name, table: source.name, reason });
      if (found === undefined) drift('missing', `no ${expected.event} of ${source.name} is captured`);
      else if (found.table !== source.name || found.event !== expected.event || found.timing !== 'AFTER') {
        drift(
          'altered',
          `expected AFTER ${expected.event} ON ${source.name}, found ${found.timing} ${found.event} ON ${found.table}`,
        );
      } else if (found.body !== expected.body) {
        if (readSignature(found.body)?.intact) drift('outdated', 'the slice file or the table has changed since');
        else drift('altered', 'its text is not the one it was made with');
      } else if (found.sqlMode !== captureSqlMode) {
        drift('altered', `expected sql_mode ${captureSqlMode}, found ${found.sqlMode || 'none'}`);
      }
    }
  }
  for (const { name, table } of byName.values()) {
    // The canary is captured whether the plans speak of it or not, until none is left.
    if (table === canaryTable && plans.length > 0) continue;
    // Nobody writes what another slice's completion has put away; taken back, it is captured again as it was.
    if (isRetired(table) && plans.length > 0) continue;
    drifts.push({ kind: 'stray', name, table, reason: `the slice has no table ${table} to capture under this name` });
  }
  return drifts;
};

/** All that a slice's capture lacks: triggers, and the tables that these need. */
export async function findDrift(
  db: Queryable,
  database: string,
  slice: string,
  plans: readonly CapturePlan[],
): Promise<Drift[]> {
  const drifts = compareTriggers(plans, await readCaptureTriggers(db, database, slice));
  const tables = await rowsOf<{ name: string }>(
    db,
    'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME IN (?, ?)',
    [database, outboxTable, captureStateTable],
  );
  const missing = (name: string, reason: string): Drift => ({ kind: 'missing', name, table: name, reason });
  const has = (name: string) => tables.some((table) => table.name === name);
  if (!has(outboxTable)) drifts.push(missing(outboxTable, 'every write to a captured table fails without it'));
  if (!has(captureStateTable))
    drifts.push(missing(captureStateTable, 'every write to a captured table fails without it'));
  else if ((await readEpoch(db, slice)) === undefined) {
    drifts.push(
      missing(captureStateTable, `it has no epoch of ${slice}: every write to a captured table fails without it`),
    );
  }
  if (plans.some(({ dialect }) => dialect === 'mariadb') && !(await hasRecorder(db))) {
    const reason = 'it is not there, or not as it was made, and every write to a captured table calls it';
    drifts.push({ kind: 'missing', name: recorder, table: captureStateTable, reason });
  }
  return drifts;
}
