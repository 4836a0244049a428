import { Op, QueryTypes, type Sequelize, type Transaction } from 'sequelize';
import type { Clock } from '../../clock.ts';
import type { Models } from '../../models/index.ts';
import { inTransaction } from '../../transaction.ts';
import type { Notification } from './models.ts';
import type { TellingSides } from './owner/telling-sides.ts';
import { type Happening, wordingOf } from './wording.ts';

/** What the rest of the shop asks of the notifications. */
export type Notifications = {
  /**
   * Writes a notification in the transaction of its cause, and wakes the customer's streams when that commits, unless the telling is
   * left to the service; `told` says so where another has decided it, and else the transaction itself does. Locks the account's mailbox until then: to be called before stock is locked, never after.
   */
  record(happening: Happening, transaction: Transaction, told?: 'monolith' | 'service'): Promise<void>;
};

/** The notifications, kept in this database. */
export class LocalNotifications implements Notifications {
  readonly #sequelize: Sequelize;
  readonly #models: Models;
  readonly #clock: Clock;
  readonly #tellingSides: TellingSides;
  readonly #wake: (accountId: number) => void;

  /** `wake` is called with the account after each commit that left it a new notification. */
  constructor(parts: {
    sequelize: Sequelize;
    models: Models;
    clock: Clock;
    tellingSides: TellingSides;
    wake: (accountId: number) => void;
  }) {
    this.#sequelize = parts.sequelize;
    this.#models = parts.models;
    this.#clock = parts.clock;
    this.#tellingSides = parts.tellingSides;
    this.#wake = parts.wake;
  }

  async record(happening: Happening, transaction: Transaction, told?: 'monolith' | 'service'): Promise<void> {
    const { accountId } = happening;
    const toldBy = told ?? this.#tellingSides.of(transaction)?.side ?? 'monolith';
    // From here to the commit no other transaction gets an id for this account: ids follow the order of commits.
    await this.#sequelize.query(
      `INSERT INTO notification_mailboxes (account_id, unread) VALUES (:accountId, 1)
       ON DUPLICATE KEY UPDATE unread = unread + 1`,
      { type: QueryTypes.INSERT, replacements: { accountId }, transaction },
    );
    await this.#models.Notification.create(
      {
        account_id: accountId,
        kind: happening.kind,
        order_id: happening.orderId,
        ...wordingOf(happening),
        created_at: this.#clock.now(),
        told_by: toldBy,
      },
      { transaction },
    );
    if (toldBy === 'monolith') transaction.afterCommit(() => this.#wake(accountId));
  }

  /** Notifications of an account, newest first, from below `beforeId` on. */
  list(
    accountId: number,
    { limit, beforeId, only }: { limit: number; beforeId: number | undefined; only: 'unread' | 'all' },
  ): Promise<Notification[]> {
    return this.#models.Notification.findAll({
      where: {
        account_id: accountId,
        ...(beforeId === undefined ? {} : { id: { [Op.lt]: beforeId } }),
        ...(only === 'unread' ? { read_at: null } : {}),
      },
      order: [['id', 'DESC']],
      limit,
    });
  }

  /** Notifications of an account that the shop itself tells, after the one with the id `afterId`, oldest first. */
  after(accountId: number, afterId: number, limit: number): Promise<Notification[]> {
    return this.#models.Notification.findAll({
      where: { account_id: accountId, id: { [Op.gt]: afterId }, told_by: 'monolith' },
      order: [['id', 'ASC']],
      limit,
    });
  }

  /** The id of the account's newest notification, 0 where it has none. */
  async newestId(accountId: number): Promise<number> {
    const newest = await this.#models.Notification.findOne({
      where: { account_id: accountId },
      attributes: ['id'],
      order: [['id', 'DESC']],
    });
    return newest?.id ?? 0;
  }

  async unread(accountId: number): Promise<number> {
    const mailbox = await this.#models.Mailbox.findByPk(accountId);
    return mailbox?.unread ?? 0;
  }

  /** Marks one of the account's own as read and gives it; the first time counts. Undefined where it has no such one. */
  async markRead(accountId: number, id: number): Promise<Notification | undefined> {
    return inTransaction(this.#sequelize, async (transaction) => {
      const mailbox = await this.#models.Mailbox.findByPk(accountId, { lock: transaction.LOCK.UPDATE, transaction });
      const notification = await this.#models.Notification.findOne({
        where: { id, account_id: accountId },
        transaction,
      });
      if (!mailbox || !notification) return undefined;
      if (notification.read_at !== null) return notification;
      await notification.update({ read_at: this.#clock.now() }, { transaction });
      await mailbox.update({ unread: Math.max(0, mailbox.unread - 1) }, { transaction });
      return notification;
    });
  }
}

/** A notification as the API shows it. */
export function notificationJson(row: Notification) {
  return {
    id: row.id,
    kind: row.kind,
    order_id: row.order_id,
    title: row.title,
    body: row.body,
    created_at: row.created_at.toISOString(),
    read_at: row.read_at?.toISOString() ?? null,
  };
}
