import type { SeedPlan, SeedTable } from '../../seed/seed-table.ts';
import { sqlTime } from '../../sql-time.ts';
import { type OrderDraft, seededOrders } from '../orders/seed.ts';
import type { NotificationKind } from './models.ts';
import { wordingOf } from './wording.ts';

/** What each seeded order had its customer told. The end of every fifth order was never read. */
export function notificationTables(): SeedTable[] {
  return [mailboxes, notifications];
}

type NotificationDraft = { order: OrderDraft; kind: NotificationKind; writtenMs: number; isRead: boolean };

const mailboxes: SeedTable = {
  table: 'notification_mailboxes',
  columns: ['account_id', 'unread'],
  rowCount: (plan) => unreadByAccount(plan).size,
  *rows(plan) {
    for (const [accountId, unread] of unreadByAccount(plan)) yield [accountId, unread];
  },
};

const notifications: SeedTable = {
  table: 'notifications',
  columns: ['id', 'account_id', 'kind', 'order_id', 'title', 'body', 'created_at', 'read_at'],
  rowCount(plan) {
    let total = 0;
    for (const order of seededOrders(plan)) total += kindsOf(order).length;
    return total;
  },
  *rows(plan) {
    let id = 0;
    for (const { order, kind, writtenMs, isRead } of allNotifications(plan)) {
      id += 1;
      const { accountId, id: orderId, totalCents: amountCents } = order;
      const { title, body } = wordingOf({ kind, accountId, orderId, amountCents, currency: 'EUR' });
      const written = sqlTime(writtenMs);
      yield [id, accountId, kind, orderId, title, body, written, isRead ? written : null];
    }
  },
};

function* allNotifications(plan: SeedPlan): Iterable<NotificationDraft> {
  for (const order of seededOrders(plan)) {
    const kinds = kindsOf(order);
    for (const [at, kind] of kinds.entries()) {
      const isLast = at === kinds.length - 1;
      yield {
        order,
        kind,
        writtenMs: isLast ? order.endedMs : order.createdMs,
        isRead: !isLast || order.id % 5 !== 0,
      };
    }
  }
}

function kindsOf({ paymentStatus }: OrderDraft): NotificationKind[] {
  switch (paymentStatus) {
    case 'settled':
      return ['order_placed', 'payment_settled', 'order_shipped'];
    case 'refunded':
      return ['order_placed', 'payment_settled', 'order_cancelled', 'payment_refunded'];
    case 'failed':
      return ['order_placed', 'payment_failed', 'order_cancelled'];
  }
}

function unreadByAccount(plan: SeedPlan): Map<number, number> {
  const unread = new Map<number, number>();
  for (const { order, isRead } of allNotifications(plan)) {
    unread.set(order.accountId, (unread.get(order.accountId) ?? 0) + (isRead ? 0 : 1));
  }
  return new Map([...unread].sort(([a], [b]) => a - b));
}
