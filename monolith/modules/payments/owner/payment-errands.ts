import { pause } from '@strangler/platform/backoff.ts';
import { watchOldest } from '@strangler/platform/http/oldest-age.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import { throughSeam } from '@strangler/platform/ownership/through-seam.ts';
import { type RepeatedJob, repeat } from '@strangler/platform/repeated-job.ts';
import { Counter, Gauge, type Registry } from 'prom-client';
import { Op, type Sequelize, type Transaction, UniqueConstraintError } from 'sequelize';
import type { Clock } from '../../../clock.ts';
import type { Models } from '../../../models/index.ts';
import { inTransaction } from '../../../transaction.ts';
import type { PaymentErrand } from '../models.ts';
import type { LocalPayments, OrderOfPayment } from '../payments.ts';
import type { PaymentShown } from '../representation.ts';
import type { PaymentTimings } from '../timings.ts';
import type { PaymentsClient } from './payments-client.ts';

export type NewPayment = { orderId: number; accountId: number; amountCents: number; currency: string };

export type PaymentErrandsParts = {
  sequelize: Sequelize;
  models: Models;
  clock: Clock;
  owner: OwnerFollower;
  local: LocalPayments;
  client: PaymentsClient;
  timings: PaymentTimings;
  log: Log;
  metrics: Registry;
};

const RUN_EVERY_MS = 2_000;
const MOST_AT_ONCE = 100;
/** Whoever has placed the order is charging it himself until then. */
const LEFT_TO_THE_CHECKOUT_MS = 30_000;
/** A customer waits no longer than that for what is done all the same. */
const WAITED_FOR_MS = 1_000;

/**
 * What is to be done about an order's money, written down in the order's own transaction and done after it: at once, and again
 * until it is done, wherever the payments are by then. `charge`: the order has a payment, or is given up; `cancel`: its money goes back.
 */
export class PaymentErrands {
  readonly #parts: PaymentErrandsParts;
  readonly #abandoned: Counter;
  readonly #settling = new Set<Promise<void>>();
  #orders: OrderOfPayment | undefined;
  #job: RepeatedJob | undefined;

  constructor(parts: PaymentErrandsParts) {
    this.#parts = parts;
    const { models, metrics, clock, log } = parts;
    this.#abandoned = new Counter({
      name: 'shop_orders_never_charged_total',
      help: 'Orders that were given up because the payments had never heard of them.',
      registers: [metrics],
    });
    new Gauge({
      name: 'shop_payment_errands_open',
      help: 'Orders whose payment is not known, or was not cancelled yet.',
      registers: [metrics],
      async collect() {
        // While the database is away the figure is the last one that was known.
        const open = await models.PaymentErrand.count({ where: { done_at: null } }).catch(() => undefined);
        if (open !== undefined) this.set(open);
      },
    });
    watchOldest({
      name: 'shop_oldest_payment_errand_age_seconds',
      help: 'Age of the oldest order whose payment is not known, or was not cancelled',
      async oldest() {
        const oldest = await models.PaymentErrand.findOne({
          ...{ attributes: ['created_at'], where: { done_at: null }, order: [['created_at', 'ASC']] },
        });
        return oldest?.created_at ?? null;
      },
      ...{ clock, log, metrics },
    });
  }

  tellOrders(orders: OrderOfPayment): void {
    this.#orders = orders;
  }

  start(): void {
    this.#job = repeat('seeing to payments elsewhere', RUN_EVERY_MS, this.#parts.log, () => this.runOpen());
  }

  async stop(): Promise<void> {
    await this.#job?.stop();
    await Promise.all(this.#settling);
  }

  /** Writes an errand down, or opens it again; an order has one of each kind. */
  async add(
    kind: PaymentErrand['kind'],
    { orderId, accountId, amountCents, currency }: NewPayment,
    transaction: Transaction,
  ): Promise<void> {
    const { models, clock } = this.#parts;
    const row = { order_id: orderId, kind, account_id: accountId, amount_cents: amountCents, currency };
    try {
      await models.PaymentErrand.create({ ...row, created_at: clock.now(), done_at: null }, { transaction });
    } catch (error) {
      if (!(error instanceof UniqueConstraintError)) throw error;
      await models.PaymentErrand.update({ done_at: null }, { where: { order_id: orderId, kind }, transaction });
    }
  }

  /** Does what is open of an order now, and resolves after a second at the latest; what is left is the job's. Never throws. */
  async settle(orderId: number): Promise<void> {
    const settling = this.#runOf(orderId)
      .catch((error: unknown) => {
        this.#parts.log.warn({ err: error, orderId }, 'an order’s payment cannot be seen to yet');
      })
      .finally(() => this.#settling.delete(settling));
    this.#settling.add(settling);
    await Promise.race([settling, pause(WAITED_FOR_MS)]);
  }

  async runOpen(): Promise<void> {
    const open = await this.#parts.models.PaymentErrand.findAll({
      where: { done_at: null },
      order: [['id', 'ASC']],
      limit: MOST_AT_ONCE,
    });
    for (const orderId of new Set(open.map(({ order_id }) => order_id))) await this.settle(orderId);
  }

  /** Sees to it that an order which was placed for the service has its payment here, now that the payments are the shop's. */
  async bringHome(orderId: number): Promise<void> {
    const { sequelize, models, local } = this.#parts;
    const errand = await models.PaymentErrand.findOne({ where: { order_id: orderId, kind: 'charge', done_at: null } });
    if (errand === null) return;
    await inTransaction(sequelize, async (transaction) => {
      const open = await models.PaymentErrand.findByPk(errand.id, { lock: transaction.LOCK.UPDATE, transaction });
      if (open === null || open.done_at !== null) return;
      // What the service has written before it gave the payments back is here.
      const known = await models.Payment.count({ where: { order_id: orderId }, transaction });
      const { account_id: accountId, amount_cents: amountCents, currency } = open;
      if (known === 0) await local.create({ orderId, accountId, amountCents, currency }, transaction);
      await this.#done(open, transaction);
    });
  }

  /** The service has a payment of the order: it tells of all that becomes of it. What is known of it now the order learns at once. */
  async known(payment: PaymentShown): Promise<void> {
    const { sequelize, models } = this.#parts;
    const orderId = payment.order_id;
    const write = async (transaction: Transaction) => {
      if (payment.status === 'settled') await this.#ordersOf().paymentSettled(orderId, transaction);
      if (payment.status === 'failed' || payment.status === 'refunded')
        await this.#ordersOf().paymentFailed(orderId, transaction);
      const where = { order_id: orderId, kind: 'charge' as const, done_at: null };
      await models.PaymentErrand.update({ done_at: this.#parts.clock.now() }, { where, transaction });
    };
    await this.#ordersOf().telling(() => inTransaction(sequelize, write));
  }

  /**
   * Orders that another has placed, and that have come back waiting for their payment, which has perhaps been told already, or was
   * never asked for: it is found out. `since`: those that were looked at after that are not looked at again.
   */
  async adopt(since: Date): Promise<void> {
    const { sequelize, models, clock } = this.#parts;
    const placedBefore = new Date(clock.now().getTime() - LEFT_TO_THE_CHECKOUT_MS);
    const waiting = await models.Order.findAll({
      where: { status: 'awaiting_payment', created_at: { [Op.lt]: placedBefore } },
      order: [['id', 'DESC']],
      limit: MOST_AT_ONCE,
    });
    const known = await models.PaymentErrand.findAll({
      where: {
        order_id: waiting.map(({ id }) => id),
        kind: 'charge',
        [Op.or]: [{ done_at: null }, { done_at: { [Op.gte]: since } }],
      },
      attributes: ['order_id'],
    });
    const looked = new Set(known.map(({ order_id }) => order_id));
    for (const { id, account_id: accountId, total_cents: amountCents, currency } of waiting) {
      if (looked.has(id)) continue;
      await inTransaction(sequelize, (transaction) =>
        this.add('charge', { orderId: id, accountId, amountCents, currency }, transaction),
      );
    }
  }

  async #runOf(orderId: number): Promise<void> {
    const errands = await this.#parts.models.PaymentErrand.findAll({ where: { order_id: orderId, done_at: null } });
    const charge = errands.find(({ kind }) => kind === 'charge');
    const cancel = errands.find(({ kind }) => kind === 'cancel');
    if (cancel !== undefined) await this.#cancel(cancel);
    else if (charge !== undefined && this.#ageMs(charge) >= LEFT_TO_THE_CHECKOUT_MS) await this.#findOut(charge);
  }

  /** What became of an order whose checkout does not know. */
  #findOut(errand: PaymentErrand): Promise<void> {
    const { owner, client, timings } = this.#parts;
    const orderId = errand.order_id;
    return throughSeam({
      owner,
      // Whoever reconciles the shop's payments finds out, or gives it up.
      local: () => this.bringHome(orderId),
      remote: async () => {
        const payment = await client.find(orderId);
        if (payment !== undefined) return this.known(payment);
        if (this.#ageMs(errand) >= timings.abandonAfterMs) await this.#giveUp(errand);
      },
    });
  }

  async #giveUp(errand: PaymentErrand): Promise<void> {
    const { sequelize, log } = this.#parts;
    const write = async (transaction: Transaction) => {
      await this.#ordersOf().paymentFailed(errand.order_id, transaction);
      await this.#done(errand, transaction);
    };
    await this.#ordersOf().telling(() => inTransaction(sequelize, write));
    this.#abandoned.inc();
    log.warn({ orderId: errand.order_id }, 'an order was given up: the payments have never heard of it');
  }

  #cancel(errand: PaymentErrand): Promise<void> {
    const { owner, client, local, sequelize, models } = this.#parts;
    const orderId = errand.order_id;
    return throughSeam({
      owner,
      local: async () => {
        await this.bringHome(orderId);
        await inTransaction(sequelize, async (transaction) => {
          await local.orderCancelled(orderId, transaction);
          await this.#done(errand, transaction);
        });
      },
      remote: async (epoch) => {
        const payment = await client.cancel(orderId, epoch);
        if (payment !== undefined) return this.#done(errand);
        // A charge may be on its way: until that is known there is nothing to cancel, and something to wait for.
        const charge = await models.PaymentErrand.findOne({
          where: { order_id: orderId, kind: 'charge', done_at: null },
        });
        if (charge !== null && this.#ageMs(charge) < LEFT_TO_THE_CHECKOUT_MS) return;
        // One that is charged later all the same is told of, and cancelled then.
        await this.#done(errand);
        if (charge !== null) await this.#done(charge);
      },
    });
  }

  #ordersOf(): OrderOfPayment {
    if (!this.#orders) throw new Error('payments have nobody to tell of outcomes: tellOrders() was not called');
    return this.#orders;
  }

  #ageMs({ created_at }: PaymentErrand): number {
    return this.#parts.clock.now().getTime() - created_at.getTime();
  }

  async #done(errand: PaymentErrand, transaction?: Transaction): Promise<void> {
    await errand.update({ done_at: this.#parts.clock.now() }, transaction === undefined ? {} : { transaction });
  }
}
