import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import type { Clock } from '../clock.ts';
import type { Side, Told } from '../delivery/deliverer.ts';
import { type Notification, notificationColumns } from './notification.ts';
import { type Happening, wordingOf } from './wording.ts';

export type Notifications = {
  /** Notifications of an account, newest first, from below `beforeId` on. */
  list(
    accountId: number,
    options: { limit: number; beforeId: number | undefined; only: 'unread' | 'all' },
  ): Promise<Notification[]>;
  /** Those that this service has to deliver, after the one with the id `afterId`, oldest first. */
  toPush(accountId: number, afterId: number, limit: number): Promise<Notification[]>;
  /** The id of the account's newest notification, 0 where it has none. */
  newestId(accountId: number): Promise<number>;
  unread(accountId: number): Promise<number>;
  /** Marks one of the account's own as read and gives it; the first time counts. Undefined where it has no such one. */
  markRead(accountId: number, id: number): Promise<Notification | undefined>;
};

export function createNotifications({ pool, clock }: { pool: Pool; clock: Clock }): Notifications {
  const rowsOf = (where: string, values: unknown[]) =>
    select<Notification>(pool, `SELECT ${notificationColumns} FROM notifications WHERE ${where}`, values);

  return {
    list: (accountId, { limit, beforeId, only }) =>
      rowsOf(
        `account_id = ?${beforeId === undefined ? '' : ' AND id < ?'}${only === 'unread' ? ' AND read_at IS NULL' : ''}
         ORDER BY id DESC LIMIT ?`,
        [accountId, ...(beforeId === undefined ? [] : [beforeId]), limit],
      ),

    toPush: (accountId, afterId, limit) =>
      rowsOf("account_id = ? AND id > ? AND delivered_by = 'service' ORDER BY id LIMIT ?", [accountId, afterId, limit]),

    async newestId(accountId) {
      const sql = 'SELECT MAX(id) AS id FROM notifications WHERE account_id = ?';
      const [newest] = await select<{ id: number | null }>(pool, sql, [accountId]);
      return newest?.id ?? 0;
    },

    async unread(accountId) {
      const sql = 'SELECT unread FROM notification_mailboxes WHERE account_id = ?';
      const [mailbox] = await select<{ unread: number }>(pool, sql, [accountId]);
      return mailbox?.unread ?? 0;
    },

    // Each side marks its own, whoever owns the writes.
    markRead: (accountId, id) =>
      withTransaction(pool, 'READ COMMITTED', async (transaction) => {
        const locked = 'SELECT unread FROM notification_mailboxes WHERE account_id = ? FOR UPDATE';
        const [mailbox] = await select<{ unread: number }>(transaction, locked, [accountId]);
        const found = `SELECT ${notificationColumns} FROM notifications WHERE id = ? AND account_id = ? FOR UPDATE`;
        const [notification] = await select<Notification>(transaction, found, [id, accountId]);
        if (mailbox === undefined || notification === undefined) return undefined;
        if (notification.read_at !== null) return notification;
        const readAt = clock.now();
        await change(transaction, 'UPDATE notifications SET read_at = ? WHERE id = ?', [readAt, id]);
        await change(transaction, 'UPDATE notification_mailboxes SET unread = ? WHERE account_id = ?', [
          Math.max(0, mailbox.unread - 1),
          accountId,
        ]);
        return { ...notification, read_at: readAt };
      }),
  };
}

/**
 * Writes the notification of an event and returns its id. Locks the account's mailbox until the transaction ends: from here on
 * no other one gets an id for this account, so that ids follow the order of commits and "everything after id n" misses none.
 */
export async function writeNotification(
  transaction: Executor,
  {
    happening,
    told: { position, mark },
    eventId,
    occurredAt,
    deliveredBy,
  }: { happening: Happening; told: Told; eventId: string; occurredAt: Date; deliveredBy: Side },
): Promise<number> {
  const { kind, accountId, orderId } = happening;
  const { title, body } = wordingOf(happening);
  await change(
    transaction,
    'INSERT INTO notification_mailboxes (account_id, unread) VALUES (?, 1) ON DUPLICATE KEY UPDATE unread = unread + 1',
    [accountId],
  );
  const { id } = await change(
    transaction,
    `INSERT INTO notifications
       (account_id, kind, order_id, title, body, created_at, delivered_by, event_id, event_epoch, event_position, marked)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      ...[accountId, kind, orderId, title, body, occurredAt, deliveredBy],
      ...[eventId, position.epoch, String(position.id), mark === undefined ? 0 : 1],
    ],
  );
  return id;
}
