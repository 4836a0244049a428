import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import type { Clock } from '../clock.ts';
import { addJobsOf } from '../events/jobs-of.ts';
import type { NotificationKind } from '../notifications/wording.ts';
import {
  decideHandover,
  type Handover,
  type HandoverDecision,
  type HandoverRequest,
  type Position,
  type Side,
} from './deliverer.ts';

type Row = { seq: number; side: Side; from_epoch: number; from_id: number | string };

const columns = 'seq, side, from_epoch, from_id';

/**
 * The handovers, locked until the transaction ends: none is added before what was decided by them is committed. Whoever decides
 * about an event reads them so.
 */
export async function lockedHandovers(transaction: Executor): Promise<Handover[]> {
  const sql = `SELECT ${columns} FROM delivery_handovers ORDER BY seq LOCK IN SHARE MODE`;
  return (await select<Row>(transaction, sql)).map(handoverOf);
}

export type DeliveryStatus = {
  /** Of unmarked events, from the last handover on. `shadow`: the shop delivers, this service is silent. */
  mode: 'shadow' | 'deliver';
  handovers: Handover[];
  highestHandled: Position | undefined;
  highestDelivered: Position | undefined;
};

export type Handovers = {
  status(): Promise<DeliveryStatus>;
  /**
   * Adds a handover, if it is allowed and nobody was faster. What had come already from the position on is delivered with it; its
   * accounts and jobs are returned, to be woken and dispatched.
   */
  hand(
    request: HandoverRequest & { by: string; reason: string },
  ): Promise<HandoverDecision & { nowDelivered: NowDelivered }>;
};

export type NowDelivered = { accountIds: number[]; jobIds: string[] };

export function createHandovers({ pool, clock }: { pool: Pool; clock: Clock }): Handovers {
  const highest = async (executor: Executor, where: string): Promise<Position | undefined> => {
    const [row] = await select<{ event_epoch: number; event_position: number | string }>(
      executor,
      `SELECT event_epoch, event_position FROM notifications WHERE ${where}
        ORDER BY event_epoch DESC, event_position DESC LIMIT 1`,
    );
    return row && { epoch: row.event_epoch, id: BigInt(row.event_position) };
  };
  const unmarkedDelivered = "delivered_by = 'service' AND marked = 0";

  return {
    async status() {
      const handovers = (await select<Row>(pool, `SELECT ${columns} FROM delivery_handovers ORDER BY seq`)).map(
        handoverOf,
      );
      return {
        mode: handovers.at(-1)?.side === 'service' ? 'deliver' : 'shadow',
        handovers,
        highestHandled: await highest(pool, '1 = 1'),
        highestDelivered: await highest(pool, unmarkedDelivered),
      };
    },

    hand: ({ by, reason, ...request }) =>
      withTransaction(pool, 'READ COMMITTED', async (transaction) => {
        const sql = `SELECT ${columns} FROM delivery_handovers ORDER BY seq FOR UPDATE`;
        const handovers = (await select<Row>(transaction, sql)).map(handoverOf);
        const decision = decideHandover(request, handovers, {
          highestDelivered: await highest(transaction, unmarkedDelivered),
        });
        if (decision.outcome !== 'taken') return { ...decision, nowDelivered: { accountIds: [], jobIds: [] } };
        const { seq, side, from } = decision.handover;
        await change(
          transaction,
          `INSERT INTO delivery_handovers (${columns}, changed_by, changed_at, reason) VALUES (?, ?, ?, ?, ?, ?, ?)`,
          [seq, side, from.epoch, String(from.id), by, clock.now(), reason],
        );
        const nowDelivered =
          side === 'service' ? await deliverFrom(transaction, from, clock) : { accountIds: [], jobIds: [] };
        return { ...decision, nowDelivered };
      }),
  };
}

type Silent = { id: number; account_id: number; kind: NotificationKind; order_id: number };

/** What came before the handover did, from its position on, is the service's too. */
async function deliverFrom(transaction: Executor, { epoch, id }: Position, clock: Clock): Promise<NowDelivered> {
  const silent = await select<Silent>(
    transaction,
    `SELECT id, account_id, kind, order_id FROM notifications
      WHERE delivered_by = 'monolith' AND marked = 0
        AND (event_epoch > ? OR (event_epoch = ? AND event_position >= ?))
      ORDER BY id FOR UPDATE`,
    [epoch, epoch, String(id)],
  );
  const jobIds: string[] = [];
  for (const row of silent) {
    await change(transaction, "UPDATE notifications SET delivered_by = 'service' WHERE id = ?", [row.id]);
    const notification = { id: row.id, accountId: row.account_id, kind: row.kind, orderId: row.order_id };
    jobIds.push(...(await addJobsOf(transaction, notification, { now: clock.now(), mailDelayMs: 0 })));
  }
  return { accountIds: [...new Set(silent.map((row) => row.account_id))], jobIds };
}

function handoverOf(row: Row): Handover {
  return { seq: row.seq, side: row.side, from: { epoch: row.from_epoch, id: BigInt(row.from_id) } };
}
