import { DataTypes, type Model, type ModelStatic, type Optional, type Sequelize } from 'sequelize';

export const notificationKinds = [
  'order_placed',
  'payment_settled',
  'payment_failed',
  'order_cancelled',
  'payment_refunded',
  'order_shipped',
] as const;
export type NotificationKind = (typeof notificationKinds)[number];

export type NotificationRow = {
  id: number;
  account_id: number;
  kind: NotificationKind;
  order_id: number | null;
  title: string;
  body: string;
  created_at: Date;
  read_at: Date | null;
  /** Which side the telling was left to by the transaction that wrote it. */
  told_by: 'monolith' | 'service';
};

/**
 * One row an account. It is locked before a notification is written, so that the ids of one account's notifications
 * follow the order in which they are committed, and "everything after id n" misses none.
 */
export type MailboxRow = { account_id: number; unread: number };

export type Notification = Model<NotificationRow, Optional<NotificationRow, 'id' | 'read_at' | 'told_by'>> &
  NotificationRow;
export type Mailbox = Model<MailboxRow, MailboxRow> & MailboxRow;

export type NotificationsModels = { Notification: ModelStatic<Notification>; Mailbox: ModelStatic<Mailbox> };

export function defineNotificationsModels(sequelize: Sequelize): NotificationsModels {
  const Notification = sequelize.define<Notification>(
    'Notification',
    {
      id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true, autoIncrement: true },
      account_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      kind: { type: DataTypes.STRING(32), allowNull: false },
      order_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: true },
      title: { type: DataTypes.STRING(200), allowNull: false },
      body: { type: DataTypes.STRING(1000), allowNull: false },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
      read_at: { type: DataTypes.DATE(3), allowNull: true },
      told_by: { type: DataTypes.STRING(8), allowNull: false, defaultValue: 'monolith' },
    },
    { tableName: 'notifications', timestamps: false },
  );
  const Mailbox = sequelize.define<Mailbox>(
    'Mailbox',
    {
      account_id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true },
      unread: { type: DataTypes.INTEGER.UNSIGNED, allowNull: false },
    },
    { tableName: 'notification_mailboxes', timestamps: false },
  );
  return { Notification, Mailbox };
}
