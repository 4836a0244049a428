import { type Execute, isDuplicateKey } from './execute.ts';
import { inboxTable, type Queryable } from './schema.ts';

export type Once<T> = { outcome: 'done'; result: T } | { outcome: 'handled before' };

const insertSql = `INSERT INTO ${inboxTable} (consumer, message_id, handled_at) VALUES (?, ?, UTC_TIMESTAMP(6))`;

/**
 * Runs `effect` unless this consumer has handled this message, in the transaction that `execute` runs in: the effect and
 * the knowledge of it are committed together or not at all. Two at a time: the second waits for the first's outcome.
 * The message id is at most 128 characters, the consumer's name 64; longer ones are an error of the database.
 */
export async function once<T>(
  execute: Execute,
  consumer: string,
  messageId: string,
  effect: () => Promise<T>,
): Promise<Once<T>> {
  try {
    await execute(insertSql, [consumer, messageId]);
  } catch (error) {
    if (isDuplicateKey(error)) return { outcome: 'handled before' };
    throw error;
  }
  return { outcome: 'done', result: await effect() };
}

/**
 * Forgets messages handled longer ago than `olderThanMs`, at most `limit` of them, and returns how many. A message that
 * comes once more after that is handled once more: keep them longer than any dead letter waits to be replayed.
 */
export async function pruneInbox(db: Queryable, olderThanMs: number, limit = 1000): Promise<number> {
  const [result] = await db.query(
    `DELETE FROM ${inboxTable} WHERE handled_at < UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND ORDER BY handled_at LIMIT ?`,
    [olderThanMs * 1000, limit],
  );
  return (result as { affectedRows: number }).affectedRows;
}
