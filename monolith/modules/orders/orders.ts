import type { Sequelize, Transaction } from 'sequelize';
import type { Clock } from '../../clock.ts';
import type { EventRecorder } from '../../events/event-recorder.ts';
import type { SoldItem } from '../../events/shop-events.ts';
import type { Models } from '../../models/index.ts';
import { inTransaction } from '../../transaction.ts';
import type { Inventory } from '../inventory/inventory.ts';
import type { Notifications } from '../notifications/notifications.ts';
import type { Payments } from '../payments/payments.ts';
import type { CancelReason, Order, OrderItemRow, OrderStatus } from './models.ts';

/** A line to be ordered, with the name and price that it is sold under. */
export type NewLine = { productId: number; name: string; unitPriceCents: number; quantity: number };

/** What the checkout asks of the orders. */
export type Orders = {
  /** Writes the order and its lines. Stock and payment are the caller's to see to, in the same transaction. */
  place(
    request: { accountId: number; currency: string; lines: NewLine[] },
    transaction: Transaction,
  ): Promise<{ orderId: number; totalCents: number }>;
};

export type CancelOutcome =
  | { kind: 'cancelled' }
  | { kind: 'cancelled_before' }
  | { kind: 'no_such_order' }
  | { kind: 'shipped' };

export type ShipOutcome =
  | { kind: 'shipped' }
  | { kind: 'shipped_before' }
  | { kind: 'no_such_order' }
  | { kind: 'not_paid'; status: OrderStatus };

/**
 * The orders, kept in this database. Rows are locked in one order everywhere, so that nobody waits in a circle: payment, order,
 * mailbox, then stock levels by product id.
 */
export class LocalOrders implements Orders {
  readonly #sequelize: Sequelize;
  readonly #models: Models;
  readonly #clock: Clock;
  readonly #inventory: Inventory;
  readonly #payments: Payments;
  readonly #notifications: Notifications;
  readonly #events: EventRecorder;

  constructor(parts: {
    sequelize: Sequelize;
    models: Models;
    clock: Clock;
    inventory: Inventory;
    payments: Payments;
    notifications: Notifications;
    events: EventRecorder;
  }) {
    this.#sequelize = parts.sequelize;
    this.#models = parts.models;
    this.#clock = parts.clock;
    this.#inventory = parts.inventory;
    this.#payments = parts.payments;
    this.#notifications = parts.notifications;
    this.#events = parts.events;
  }

  async place(
    { accountId, currency, lines }: { accountId: number; currency: string; lines: NewLine[] },
    transaction: Transaction,
  ): Promise<{ orderId: number; totalCents: number }> {
    const now = this.#clock.now();
    const totalCents = lines.reduce((sum, line) => sum + line.unitPriceCents * line.quantity, 0);
    const order = await this.#models.Order.create(
      {
        account_id: accountId,
        status: 'awaiting_payment',
        total_cents: totalCents,
        currency,
        created_at: now,
        updated_at: now,
      },
      { transaction },
    );
    const items = lines.map((line) => ({
      order_id: order.id,
      product_id: line.productId,
      name: line.name,
      unit_price_cents: line.unitPriceCents,
      quantity: line.quantity,
    }));
    await this.#models.OrderItem.bulkCreate(items, { transaction });
    await this.#notifications.record({ kind: 'order_placed', ...aboutOrder(order) }, transaction);
    await this.#events.record('order.placed', { ...tellingOf(order), items: items.map(soldItem) }, transaction);
    return { orderId: order.id, totalCents };
  }

  /**
   * Cancels an order that was not shipped, gives its stock back and has its money given back. Cancelling again changes nothing.
   * `ofAccount`: only an order of this account counts; null for an administrator, who may cancel any.
   */
  async cancel(orderId: number, ofAccount: number | null): Promise<CancelOutcome> {
    return inTransaction(this.#sequelize, async (transaction) => {
      await this.#payments.lockOf(orderId, transaction);
      const order = await this.#lock(orderId, transaction);
      if (!order || (ofAccount !== null && order.account_id !== ofAccount)) return { kind: 'no_such_order' };
      if (order.status === 'shipped') return { kind: 'shipped' };
      if (order.status === 'cancelled') return { kind: 'cancelled_before' };
      await this.#payments.orderCancelled(orderId, transaction);
      await this.#cancel(order, ofAccount === null ? 'admin' : 'customer', ofAccount, transaction);
      return { kind: 'cancelled' };
    });
  }

  /** Marks a paid order as shipped. */
  async ship(orderId: number): Promise<ShipOutcome> {
    return inTransaction(this.#sequelize, async (transaction) => {
      const order = await this.#lock(orderId, transaction);
      if (!order) return { kind: 'no_such_order' };
      if (order.status === 'shipped') return { kind: 'shipped_before' };
      if (order.status !== 'paid') return { kind: 'not_paid', status: order.status };
      await this.#move(order, 'shipped', null, transaction);
      await this.#notifications.record({ kind: 'order_shipped', ...aboutOrder(order) }, transaction);
      await this.#events.record('order.shipped', tellingOf(order), transaction);
      return { kind: 'shipped' };
    });
  }

  async lock(orderId: number, transaction: Transaction): Promise<void> {
    await this.#lock(orderId, transaction);
  }

  async paymentSettled(orderId: number, transaction: Transaction): Promise<void> {
    const order = await this.#lock(orderId, transaction);
    if (order?.status === 'awaiting_payment') await this.#move(order, 'paid', null, transaction);
  }

  async paymentFailed(orderId: number, transaction: Transaction): Promise<void> {
    const order = await this.#lock(orderId, transaction);
    if (order?.status === 'awaiting_payment') await this.#cancel(order, 'payment_failed', null, transaction);
  }

  async #cancel(order: Order, reason: CancelReason, by: number | null, transaction: Transaction): Promise<void> {
    const items = await this.#models.OrderItem.findAll({ where: { order_id: order.id }, transaction });
    await this.#move(order, 'cancelled', reason, transaction);
    await this.#notifications.record({ kind: 'order_cancelled', ...aboutOrder(order) }, transaction);
    await this.#events.record(
      'order.cancelled',
      { ...tellingOf(order), items: items.map(soldItem), reason },
      transaction,
    );
    await this.#inventory.giveBack(
      items.map(({ product_id, quantity }) => ({ productId: product_id, quantity })),
      { orderId: order.id, accountId: by },
      transaction,
    );
  }

  async #move(order: Order, status: OrderStatus, reason: CancelReason | null, transaction: Transaction): Promise<void> {
    await order.update(
      { status, cancel_reason: reason, version: order.version + 1, updated_at: this.#clock.now() },
      { transaction },
    );
  }

  #lock(orderId: number, transaction: Transaction): Promise<Order | null> {
    return this.#models.Order.findByPk(orderId, { lock: transaction.LOCK.UPDATE, transaction });
  }
}

function aboutOrder(order: Order) {
  return {
    accountId: order.account_id,
    orderId: order.id,
    amountCents: order.total_cents,
    currency: order.currency,
  };
}

/** What all events of an order say; it happened when the row was written. */
function tellingOf(order: Order) {
  return {
    order_id: order.id,
    account_id: order.account_id,
    total_cents: order.total_cents,
    currency: order.currency,
    occurred_at: order.updated_at.toISOString(),
  };
}

function soldItem({ product_id, name, unit_price_cents, quantity }: OrderItemRow): SoldItem {
  return { product_id, name, unit_price_cents, quantity };
}
