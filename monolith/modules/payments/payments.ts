import { randomBytes } from 'node:crypto';
import type { Log } from '@strangler/platform/log.ts';
import { Counter, type Registry } from 'prom-client';
import type { Sequelize, Transaction } from 'sequelize';
import type { Clock } from '../../clock.ts';
import type { EventRecorder } from '../../events/event-recorder.ts';
import type { Models } from '../../models/index.ts';
import { inTransaction } from '../../transaction.ts';
import type { Notifications } from '../notifications/notifications.ts';
import type { Payment } from './models.ts';
import { isOpen, type PaymentNews, type PaymentStatus, transition } from './payment-state.ts';
import type { ProviderCharge, ProviderClient } from './provider-client.ts';
import type { PaymentShown } from './representation.ts';
import type { PaymentTimings } from './timings.ts';

/** What checkout and orders ask of the payments. */
export type Payments = {
  /** Runs the transaction in which an order is placed; it may be run again, where nothing of it was done. */
  placing<T>(work: () => Promise<T>): Promise<T>;
  /** Makes the order's payment, pending; nothing is asked of the provider yet. */
  create(
    request: { orderId: number; accountId: number; amountCents: number; currency: string },
    transaction: Transaction,
  ): Promise<void>;
  /**
   * Asks the provider for the money and writes down what it answers. To be called outside any transaction. The status is `pending`
   * where the provider did not say in time; the reconciler then finds out.
   */
  charge(request: { orderId: number; cardToken: string }): Promise<PaymentStatus>;
  /** Locks the order's payment until the transaction ends. To be called before the order itself is locked. */
  lockOf(orderId: number, transaction: Transaction): Promise<void>;
  /** Takes note that the order is cancelled: money that was or will be taken goes back. */
  orderCancelled(orderId: number, transaction: Transaction): Promise<void>;
  /** Names who is told of outcomes. Orders need payments to be cancelled, and payments need orders to be paid: this closes the circle. */
  tellOrders(orders: OrderOfPayment): void;
  /** The payments of these orders as their owner has them, by order; of orders that have none there is none. */
  ofOrders(orderIds: readonly number[]): Promise<ReadonlyMap<number, PaymentShown>>;
};

/** What a payment's outcome means for its order; called in the transaction in which the outcome is written. */
export type OrderOfPayment = {
  /** Whether the orders are the shop's. */
  areHere(): boolean;
  /** Runs a transaction that tells of an outcome; one that meets a closed fence has done nothing, and is run again once the orders have moved. */
  telling<T>(work: () => Promise<T>): Promise<T>;
  /** Locks the order until the transaction ends; its payment is locked already. */
  lock(orderId: number, transaction: Transaction): Promise<void>;
  paymentSettled(orderId: number, transaction: Transaction): Promise<void>;
  paymentFailed(orderId: number, transaction: Transaction): Promise<void>;
};

/** What was written down: the payment's state, and whether anything changed. */
export type Learnt = { paymentId: number; status: PaymentStatus; effect: 'changed' | 'none' | 'mismatch' };

/** News of a payment together with the charge that carries it, where there is one. */
export type Told = { news: PaymentNews; charge?: ProviderCharge; failureCode?: string };

/** The payments, kept in this database and settled at the provider. */
export class LocalPayments implements Payments {
  readonly #sequelize: Sequelize;
  readonly #models: Models;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #provider: ProviderClient;
  readonly #notifications: Notifications;
  readonly #events: EventRecorder;
  readonly #timings: PaymentTimings;
  readonly #charges: Counter<'outcome'>;
  #orders: OrderOfPayment | undefined;
  #onRefundOwed: (paymentId: number) => void = () => {};

  constructor(parts: {
    sequelize: Sequelize;
    models: Models;
    clock: Clock;
    log: Log;
    metrics: Registry;
    provider: ProviderClient;
    notifications: Notifications;
    events: EventRecorder;
    timings: PaymentTimings;
  }) {
    this.#sequelize = parts.sequelize;
    this.#models = parts.models;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#provider = parts.provider;
    this.#notifications = parts.notifications;
    this.#events = parts.events;
    this.#timings = parts.timings;
    this.#charges = new Counter({
      name: 'shop_charges_total',
      help: 'Charges asked of the payment provider, by what it answered in time',
      labelNames: ['outcome'],
      registers: [parts.metrics],
    });
  }

  placing<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }

  async ofOrders(orderIds: readonly number[]): Promise<ReadonlyMap<number, PaymentShown>> {
    if (orderIds.length === 0) return new Map();
    const rows = await this.#models.Payment.findAll({ where: { order_id: [...orderIds] } });
    return new Map(rows.map((row) => [row.order_id, row]));
  }

  tellOrders(orders: OrderOfPayment): void {
    this.#orders = orders;
  }

  /** Names who pays back; called after the commit that made a refund due. */
  whenRefundIsOwed(pay: (paymentId: number) => void): void {
    this.#onRefundOwed = pay;
  }

  async create(
    request: { orderId: number; accountId: number; amountCents: number; currency: string },
    transaction: Transaction,
  ): Promise<void> {
    const now = this.#clock.now();
    await this.#models.Payment.create(
      {
        order_id: request.orderId,
        account_id: request.accountId,
        reference: `pay_${randomBytes(16).toString('hex')}`,
        amount_cents: request.amountCents,
        currency: request.currency,
        status: 'pending',
        check_at: new Date(now.getTime() + this.#timings.firstCheckMs),
        created_at: now,
        updated_at: now,
      },
      { transaction },
    );
  }

  async charge({ orderId, cardToken }: { orderId: number; cardToken: string }): Promise<PaymentStatus> {
    const payment = await this.#models.Payment.findOne({ where: { order_id: orderId }, rejectOnEmpty: true });
    // What is decided already, by a webhook or by an earlier run under the same key, is not asked again.
    if (payment.status !== 'pending') return payment.status;
    const outcome = await this.#provider.charge({
      amountCents: payment.amount_cents,
      currency: payment.currency,
      reference: payment.reference,
      cardToken,
    });
    this.#charges.inc({ outcome: outcome.kind === 'charge' ? outcome.charge.status : outcome.kind });
    switch (outcome.kind) {
      case 'charge':
        return (await this.learnCharge(payment.id, outcome.charge))?.status ?? payment.status;
      case 'rejected':
        return (await this.learn(payment.id, { news: 'failed', failureCode: 'rejected_by_provider' })).status;
      case 'unknown':
        this.#log.warn({ paymentId: payment.id, cause: outcome.cause }, 'the outcome of a charge is not known yet');
        return payment.status;
    }
  }

  async lockOf(orderId: number, transaction: Transaction): Promise<void> {
    await this.#models.Payment.findOne({
      where: { order_id: orderId },
      attributes: ['id'],
      lock: transaction.LOCK.UPDATE,
      transaction,
    });
  }

  async orderCancelled(orderId: number, transaction: Transaction): Promise<void> {
    const payment = await this.#models.Payment.findOne({
      where: { order_id: orderId },
      lock: transaction.LOCK.UPDATE,
      transaction,
    });
    if (payment) await this.#apply(payment, { news: 'order_cancelled' }, transaction);
  }

  /** Writes down what a charge says; undefined while the charge itself is pending, which is no news. */
  async learnCharge(paymentId: number, charge: ProviderCharge): Promise<Learnt | undefined> {
    const news = newsOf(charge);
    return news === undefined ? undefined : this.learn(paymentId, { news, charge });
  }

  /** Writes down news of a payment with all that follows from it, in one transaction; or in the caller's, if given. */
  async learn(paymentId: number, told: Told, transaction?: Transaction): Promise<Learnt> {
    const write = async (inner: Transaction) => {
      const payment = await this.#models.Payment.findByPk(paymentId, {
        lock: inner.LOCK.UPDATE,
        transaction: inner,
        rejectOnEmpty: true,
      });
      return this.#apply(payment, told, inner);
    };
    return transaction ? write(transaction) : inTransaction(this.#sequelize, write);
  }

  async #apply(payment: Payment, told: Told, transaction: Transaction): Promise<Learnt> {
    const { charge } = told;
    if (charge && (charge.amount_cents !== payment.amount_cents || charge.currency !== payment.currency)) {
      this.#log.error(
        { paymentId: payment.id, charge },
        'a charge has another amount than its payment: nothing is done',
      );
      return { paymentId: payment.id, status: payment.status, effect: 'mismatch' };
    }
    const { to, order } = transition(payment.status, told.news);
    const changed = to !== payment.status;
    if (!changed && (charge === undefined || payment.provider_charge_id !== null)) {
      return { paymentId: payment.id, status: to, effect: 'none' };
    }
    const now = this.#clock.now();
    await payment.update(
      {
        status: to,
        provider_charge_id: payment.provider_charge_id ?? charge?.id ?? null,
        ...(to === 'failed' ? { failure_code: told.failureCode ?? charge?.failure_code ?? 'unknown' } : {}),
        ...(changed
          ? { check_at: isOpen(to) ? new Date(now.getTime() + this.#timings.firstCheckMs) : null, checks: 0 }
          : {}),
        updated_at: now,
      },
      { transaction },
    );
    if (changed) await this.#follow(payment, to, order, transaction);
    return { paymentId: payment.id, status: to, effect: changed ? 'changed' : 'none' };
  }

  async #follow(
    payment: Payment,
    to: PaymentStatus,
    order: ReturnType<typeof transition>['order'],
    transaction: Transaction,
  ): Promise<void> {
    const { id, order_id: orderId } = payment;
    if (!this.#orders) throw new Error('payments have nobody to tell of outcomes: tellOrders() was not called');
    if (to === 'settled' || to === 'failed' || to === 'refunded') {
      // Its events are told under the order's key. And before the mailbox, as everywhere.
      await this.#orders.lock(orderId, transaction);
      await this.#tell(payment, to, transaction);
    }
    if (to === 'refunding') transaction.afterCommit(() => this.#onRefundOwed(id));
    if (order === 'pay_order') await this.#orders.paymentSettled(orderId, transaction);
    if (order === 'cancel_order') await this.#orders.paymentFailed(orderId, transaction);
  }

  /** Tells the customer, and whoever listens, how the payment has ended. */
  async #tell(payment: Payment, to: 'settled' | 'failed' | 'refunded', transaction: Transaction): Promise<void> {
    const { id, order_id, account_id, amount_cents, currency, failure_code, updated_at } = payment;
    const about = { accountId: account_id, orderId: order_id, amountCents: amount_cents, currency };
    await this.#notifications.record({ kind: `payment_${to}`, ...about }, transaction);
    const ended = { payment_id: id, order_id, account_id, amount_cents, currency };
    const data = { ...ended, occurred_at: updated_at.toISOString() };
    if (to !== 'failed') return this.#events.record(`payment.${to}`, data, transaction);
    return this.#events.record('payment.failed', { ...data, failure_code: failure_code ?? 'unknown' }, transaction);
  }
}

/** What a charge says of its payment, if it says anything yet. */
export function newsOf(charge: ProviderCharge): PaymentNews | undefined {
  switch (charge.status) {
    case 'pending':
      return undefined;
    case 'failed':
      return 'failed';
    case 'succeeded':
      return charge.refunded_cents >= charge.amount_cents ? 'refunded' : 'settled';
  }
}
