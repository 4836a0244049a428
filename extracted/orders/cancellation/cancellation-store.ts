import { watchOldest } from '@strangler/platform/http/oldest-age.ts';
import type { Log } from '@strangler/platform/log.ts';
import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import type { Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import { type Answer, asked, type CancellationState, hear, isOver } from './cancellation-state.ts';

export type Cancellation = CancellationState & {
  orderId: number;
  /** When everybody was told. */
  toldAt: Date;
  /** When the newest answer was heard. */
  heardAt: Date | null;
  endedAt: Date | null;
};

/** What was heard of orders whose cancellation nobody directs. */
export type Cancellations = {
  /** In the transaction that cancels the order and tells of it. */
  begin(orderId: number, transaction: Executor): Promise<void>;
  /** `not ours`: the order was not cancelled, or somebody directs what follows from that. */
  hear(orderId: number, answer: Answer, transaction: Executor): Promise<'heard' | 'not ours'>;
  read(orderId: number): Promise<Cancellation | undefined>;
  /** Those that somebody still has to answer, the oldest first. */
  open(limit: number): Promise<Cancellation[]>;
};

const columns = 'order_id AS orderId, stock, payment, told_at AS toldAt, heard_at AS heardAt, ended_at AS endedAt';

export function createCancellations({
  pool,
  clock,
  log,
  metrics,
}: {
  pool: Pool;
  clock: Clock;
  log: Log;
  metrics: Registry;
}): Cancellations {
  watchOldest({
    name: 'orders_oldest_open_cancellation_age_seconds',
    help: 'Age of the oldest cancellation that nobody directs and that somebody has still to answer',
    async oldest() {
      const sql = 'SELECT MIN(told_at) AS oldest FROM cancellations WHERE ended_at IS NULL';
      const [row] = await select<{ oldest: Date | null }>(pool, sql);
      return row?.oldest ?? null;
    },
    ...{ clock, log, metrics },
  });
  const find = async (db: Executor, orderId: number, lock = ''): Promise<Cancellation | undefined> => {
    const [row] = await select<Cancellation>(db, `SELECT ${columns} FROM cancellations WHERE order_id = ?${lock}`, [
      orderId,
    ]);
    return row;
  };

  return {
    async begin(orderId, transaction) {
      // Once more where another system has had the order meanwhile, and has made it stand again.
      await change(
        transaction,
        `INSERT INTO cancellations (order_id, stock, payment, told_at) VALUES (?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE stock = VALUES(stock), payment = VALUES(payment), told_at = VALUES(told_at),
           heard_at = NULL, ended_at = NULL`,
        [orderId, asked.stock, asked.payment, clock.now()],
      );
    },
    async hear(orderId, answer, transaction) {
      const known = await find(transaction, orderId, ' FOR UPDATE');
      if (known === undefined) return 'not ours';
      const { stock, payment } = hear(known, answer);
      const now = clock.now();
      const endedAt = isOver({ stock, payment }) ? (known.endedAt ?? now) : null;
      await change(
        transaction,
        'UPDATE cancellations SET stock = ?, payment = ?, heard_at = ?, ended_at = ? WHERE order_id = ?',
        [stock, payment, now, endedAt, orderId],
      );
      return 'heard';
    },
    read: (orderId) => find(pool, orderId),
    open: (limit) =>
      select<Cancellation>(
        pool,
        `SELECT ${columns} FROM cancellations WHERE ended_at IS NULL ORDER BY told_at, order_id LIMIT ?`,
        [limit],
      ),
  };
}
