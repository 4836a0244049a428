import { type Backoff, nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import { conflictOf } from '@strangler/platform/mysql/transaction.ts';
import { undoneWhereItFails } from '@strangler/platform/outbox/told-events.ts';
import { type Sequelize, Transaction } from 'sequelize';

/** How often a transaction is run at most, the first time included, when the database asks for it to be run again. */
export const maxTransactionAttempts = 6;

/** After this time, in milliseconds, it is not run once more: the one who asked has waited long enough. */
export const maxTransactionRetryMs = 10_000;

const backoff: Backoff = { baseMs: 5, capMs: 200 };

/**
 * Runs `work` in one READ COMMITTED transaction and commits what it did; rolls back and throws what it threw. A transaction
 * that the database chose as a deadlock's victim, or that waited too long for a lock, is run again from its beginning, after a
 * short random wait: `work` must therefore do nothing but database work, and leave the rest to `transaction.afterCommit`.
 */
export async function inTransaction<T>(
  sequelize: Sequelize,
  work: (transaction: Transaction) => Promise<T>,
): Promise<T> {
  const beganMs = performance.now();
  let delayMs: number | undefined;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const isolationLevel = Transaction.ISOLATION_LEVELS.READ_COMMITTED;
      return await undoneWhereItFails(() => sequelize.transaction({ isolationLevel }, work));
    } catch (error) {
      const isSpent = attempt >= maxTransactionAttempts || performance.now() - beganMs > maxTransactionRetryMs;
      if (isSpent || conflictOf(error) === undefined) throw error;
    }
    delayMs = nextBackoffMs(delayMs, backoff);
    await pause(delayMs);
  }
}
