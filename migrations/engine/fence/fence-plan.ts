import { createHash } from 'node:crypto';
import {
  type FenceRefusal,
  fenceErrno,
  fencePrefix,
  fenceReasons,
} from '@strangler/platform/contracts/fence-refusal.ts';
import { maxNameChars, quoteName, quoteTable, quoteText } from '../schema/identifiers.ts';
import type { TableSchema, TriggerSchema } from '../schema/table-schema.ts';
import { fenceTable } from './fence-state.ts';

/** The triggers that fence one table for one slice. */
export type FencePlan = {
  slice: string;
  table: TableSchema;
  triggers: readonly FenceTrigger[];
};

export type FenceTrigger = {
  name: string;
  event: TriggerSchema['event'];
  body: string;
  createSql: string;
};

/** Under it the triggers are created and run, whatever the writers' sessions are set to. */
export const fenceSqlMode = 'STRICT_ALL_TABLES';

const mark = 'strangler-fence 1';
const events = ['INSERT', 'UPDATE', 'DELETE'] as const;

/**
 * Generates the triggers of one of the slice's tables; the same request gives the same text, to the letter. They run
 * before every other trigger of the table: what another of them does outside of the transaction (a row of a table
 * without transactions, a variable) is not done for a write that is refused.
 */
export const planFence = ({ slice, table }: { slice: string; table: TableSchema }): FencePlan => {
  const body = signedBody(slice, fenceBody(slice));
  const triggers = events.map((event): FenceTrigger => {
    const name = fenceTriggerName(slice, table.name, event);
    const first = firstOfOthers(table.triggers, event);
    const order = first === undefined ? '' : `PRECEDES ${quoteName(first)} `;
    const createSql = `CREATE DEFINER = CURRENT_USER TRIGGER ${quoteName(table.database)}.${quoteName(name)} BEFORE ${event} ON ${quoteTable(table)} FOR EACH ROW ${order}${body}`;
    return { name, event, body, createSql };
  });
  return { slice, table, triggers };
};

/** What a trigger's text says of itself; undefined for a trigger that is not of this kind. */
export const readFenceSignature = (body: string): { slice: string; intact: boolean } | undefined => {
  const found = new RegExp(`/\\* ${mark} ([a-z0-9-]+) ([0-9a-f]{16}) \\*/`).exec(body);
  if (found === null) return undefined;
  const [comment, slice, hash] = found as unknown as [string, string, string];
  return { slice, intact: digest(body.replace(`${comment}\n  `, '')) === hash };
};

/** At most 64 characters, one a slice, table and event; never that of a capture's trigger. */
export const fenceTriggerName = (slice: string, table: string, event: FenceTrigger['event']): string => {
  const readable = `${slice}_${table}`.replace(/[^A-Za-z0-9_]/g, '_').toLowerCase();
  const name = `strangler_fence_${readable.slice(0, 36)}_${digest(`${slice}\0${table}`).slice(0, 8)}_${event[0]!.toLowerCase()}`;
  return name.slice(0, maxNameChars);
};

/** The name of the trigger that now runs first before such an event, fences apart. */
const firstOfOthers = (triggers: readonly TriggerSchema[], event: FenceTrigger['event']): string | undefined =>
  triggers.find(
    (trigger) =>
      trigger.timing === 'BEFORE' && trigger.event === event && readFenceSignature(trigger.body) === undefined,
  )?.name;

/**
 * The read locks the fence's row until the writer's transaction ends, whatever its isolation level and however old its
 * snapshot: the UPDATE that moves the fence waits for it, and what it reads is what was committed last. One read decides;
 * the second, of a write that is refused, only words the answer.
 */
const fenceBody = (slice: string): string => {
  const name = quoteText(slice);
  const isPipe = `CONVERT(@strangler_apply USING utf8mb4) <=> '1'`;
  const reason = (because: FenceRefusal['because']) => quoteText(fenceReasons[because]);
  return `BEGIN
  DECLARE strangler_refusal VARCHAR(255) CHARACTER SET utf8mb4;
  IF NOT EXISTS (SELECT 1 FROM ${fenceTable} WHERE slice = ${name}
      AND IF(${isPipe}, state = 'closed' AND pass = CAST(@strangler_pass AS BINARY), state = 'open')
      LOCK IN SHARE MODE) THEN
    SET strangler_refusal = (
      SELECT CONCAT('${fencePrefix}', slice, ' epoch ', epoch, ', owner ', owner,
        CASE WHEN NOT (${isPipe}) THEN ${reason('closed')}
          WHEN state = 'closed' THEN ${reason('pass')} ELSE ${reason('owned')} END)
      FROM ${fenceTable} WHERE slice = ${name} LOCK IN SHARE MODE);
    SET strangler_refusal = LEFT(IFNULL(strangler_refusal, ${quoteText(`${fencePrefix}${slice} has no row in ${fenceTable}`)}), 128);
    SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = ${fenceErrno}, MESSAGE_TEXT = strangler_refusal;
  END IF;
END`;
};

const signedBody = (slice: string, body: string): string =>
  body.replace('BEGIN\n  ', `BEGIN\n  /* ${mark} ${slice} ${digest(body)} */\n  `);

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);
