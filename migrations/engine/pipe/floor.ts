import { type Backoff, nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import { partCount } from '@strangler/platform/contracts/row-message.ts';
import { conflictOf } from '@strangler/platform/mysql/transaction.ts';
import { outboxTable, pendingIndex } from '@strangler/platform/outbox/schema.ts';
import type { Pool } from 'mysql2/promise';
import { positionsTable } from '../apply/own-tables.ts';
import { readPosition } from '../apply/positions.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { applyConsumerName, applyQueues } from './apply-consumer.ts';

/** A transaction that began while the pipe was being installed is not over yet. */
export class FloorBusyError extends Error {
  override name = 'FloorBusyError';
}

export type FloorRequest = {
  source: Pool;
  target: Queryable;
  slice: string;
  /** The source's tables that are captured. */
  tables: readonly string[];
  epoch: number;
  /** How long a transaction may take to its end, 30 s unless told. */
  waitSeconds?: number;
};

/**
 * A slice's floor is an outbox id: what was captured at or below it is not to be applied, because it is of an earlier life of
 * the slice, or of the time in which its triggers were made one after the other and captured some changes of a row and not
 * the others. Every change above it was captured without a gap: ids are given out by one counter, and a trigger is made
 * only when all who have used its table before are done. The floor is set when all triggers stand, and this returns when
 * whoever has an id at or below it is done as well: what is copied from then on has what is not applied. It stands among
 * the target's positions, under the name of the slice's applier, which writes nothing without it, and is where each part's
 * position begins. One that stands already is left as it is.
 * @throws FloorBusyError; then there is none, and it is asked for again
 */
export async function markFloor(request: FloorRequest): Promise<void> {
  const { source, target, slice, epoch } = request;
  if ((await readPosition(target, applyConsumerName(slice), 'none')) !== undefined) return;
  const [highest] = await rowsOf<{ id: string }>(
    source,
    `SELECT CAST(COALESCE(MAX(id), 0) AS CHAR) AS id FROM ${outboxTable}`,
  );
  const floor = highest?.id ?? '0';
  await awaitChanges(request, floor);
  const names = [applyConsumerName(slice), ...applyQueues(slice)];
  const row = '(?, ?, ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))';
  await target.query(
    `INSERT IGNORE INTO ${positionsTable} (name, epoch, id, changed_at, applied_at) VALUES ${names.map(() => row).join(', ')}`,
    names.flatMap((name) => [name, epoch, floor]),
  );
}

const parts = Array.from({ length: partCount }, (_, part) => part);

const backoff: Backoff = { baseMs: 20, capMs: 500 };

/**
 * A locking read waits for whoever has inserted what it comes to; READ COMMITTED, so that it locks nothing beside that. Relays mark the
 * same rows in another order: a read that InnoDB ends for that has waited for nobody, and begins anew.
 */
async function awaitChanges({ source, slice, tables, waitSeconds = 30 }: FloorRequest, upTo: string): Promise<void> {
  const untilMs = performance.now() + waitSeconds * 1_000;
  const connection = await source.getConnection();
  try {
    await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
    let delayMs: number | undefined;
    for (;;) {
      const leftMs = untilMs - performance.now();
      await connection.query(`SET SESSION innodb_lock_wait_timeout = ${Math.max(1, Math.ceil(leftMs / 1_000))}`);
      try {
        // What is not committed cannot have been published yet.
        await connection.query(
          `SELECT COUNT(*) FROM ${outboxTable} FORCE INDEX (${pendingIndex})
           WHERE published = 0 AND part IN (${parts.join(', ')}) AND id <= ? AND subject IN (?) LOCK IN SHARE MODE`,
          [upTo, tables],
        );
        return;
      } catch (error) {
        const conflict = conflictOf(error);
        if (conflict === undefined) throw error;
        if (conflict === 'lock-wait' || performance.now() >= untilMs) {
          throw new FloorBusyError(
            `${slice}: expected the transactions that had changed its tables by now to end within ${waitSeconds} s, found one that has not; end it, or let it end, and run this again`,
            { cause: error },
          );
        }
        delayMs = nextBackoffMs(delayMs, backoff);
        await pause(delayMs);
      }
    }
  } finally {
    connection.destroy();
  }
}
