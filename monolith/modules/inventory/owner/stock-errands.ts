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
import type { LocalInventory, StockCause, StockLine } from '../inventory.ts';
import type { StockErrand } from '../models.ts';
import type { StockClient } from './stock-client.ts';

/** What is about to be reserved, for a sale that may come about. */
export type NewHold = { reservationId: string; accountId: number; lines: StockLine[] };

export type StockErrandsParts = {
  sequelize: Sequelize;
  models: Models;
  clock: Clock;
  owner: OwnerFollower;
  local: LocalInventory;
  client: StockClient;
  log: Log;
  metrics: Registry;
};

/** How long a reservation is held: longer than the service may be away without an order losing its stock. */
export const reservationTtlMs = 20 * 60_000;

const RUN_EVERY_MS = 2_000;
const MOST_AT_ONCE = 100;

/** A hold of which nobody has heard for so long is of a sale that died; one that goes on finds that it has lost it. */
const FORGOTTEN_AFTER_MS = 30_000;

/** The service has put the stock back while it owned it. */
const putBackThere: readonly string[] = ['RELEASED', 'EXPIRED', 'RETURNED'];

/**
 * What is to be done to the stock because of an order, written down in the order's own transaction and done after it, and what
 * is held for a sale, written down before it is: done at once, and again until it is done, by whoever has the tables then. The service's
 * calls may be repeated; what is done here is done with the errand's row locked. While the tables are the shop's, the service surrenders a
 * reservation before anything is done about it here, so that it is put back by one of the two.
 */
export class StockErrands {
  readonly #parts: StockErrandsParts;
  readonly #lost: Counter;
  readonly #settling = new Set<Promise<void>>();
  #job: RepeatedJob | undefined;

  constructor(parts: StockErrandsParts) {
    this.#parts = parts;
    const { models, metrics, clock, log } = parts;
    this.#lost = new Counter({
      name: 'shop_stock_lost_total',
      help: 'Tries to confirm an order whose stock was sold to others meanwhile, because its reservation had expired.',
      registers: [metrics],
    });
    const openOnes = () => this.#open();
    new Gauge({
      name: 'shop_stock_errands_open',
      help: 'Orders, and sales that did not come about, whose stock the inventory has not been told of yet.',
      registers: [metrics],
      async collect() {
        // While the database is away the figure is the last one that was known.
        const open = await models.StockErrand.count({ where: openOnes() }).catch(() => undefined);
        if (open !== undefined) this.set(open);
      },
    });
    watchOldest({
      name: 'shop_oldest_stock_errand_age_seconds',
      help: 'Age of the oldest order, or sale that did not come about, whose stock the inventory has not been told of',
      async oldest() {
        const oldest = await models.StockErrand.findOne({
          ...{ attributes: ['created_at'], where: openOnes(), order: [['created_at', 'ASC']] },
        });
        return oldest?.created_at ?? null;
      },
      ...{ clock, log, metrics },
    });
  }

  start(): void {
    this.#job = repeat('telling the inventory of orders', RUN_EVERY_MS, this.#parts.log, () => this.runOpen());
  }

  async stop(): Promise<void> {
    await this.#job?.stop();
    await Promise.all(this.#settling);
  }

  /** Writes down, before it is reserved, what will be; gives the number by which `sell` and `giveUp` know it. */
  async hold({ reservationId, accountId, lines }: NewHold): Promise<number> {
    const { id } = await this.#write('hold', { orderId: null, reservationId, accountId, lines });
    return id;
  }

  /** What was held is an order's, to be confirmed after the commit; false where it was given up meanwhile. */
  async sell(hold: number, orderId: number, transaction: Transaction): Promise<boolean> {
    const [sold] = await this.#parts.models.StockErrand.update(
      { kind: 'confirm', order_id: orderId },
      { where: { id: hold, kind: 'hold' }, transaction },
    );
    return sold === 1;
  }

  /** There is no sale, and there will be none: what was held for it, or may be, is released. Never throws; the job does what is left. */
  giveUp(hold: number): Promise<void> {
    return this.#settle({ hold }, async () => {
      const { StockErrand } = this.#parts.models;
      await StockErrand.update({ kind: 'release' }, { where: { id: hold, kind: 'hold' } });
      const errand = await StockErrand.findOne({ where: { id: hold, kind: 'release', done_at: null } });
      if (errand !== null) await this.#release(errand);
    });
  }

  /** A cancelled order's stock, given back after the commit by `settle`, or by the job; an order has one of these at most. */
  async giveBack(lines: StockLine[], { orderId, accountId }: StockCause, transaction: Transaction): Promise<void> {
    try {
      await this.#write('give_back', { orderId, reservationId: null, accountId, lines }, transaction);
    } catch (error) {
      if (!(error instanceof UniqueConstraintError)) throw error;
    }
  }

  /** Does what is open of an order now; what cannot be done is left to the job. Never throws. */
  settle(orderId: number): Promise<void> {
    return this.#settle({ orderId }, () => this.#runOf(orderId));
  }

  async runOpen(): Promise<void> {
    const open = await this.#parts.models.StockErrand.findAll({
      where: this.#open(),
      order: [['id', 'ASC']],
      limit: MOST_AT_ONCE,
    });
    for (const orderId of new Set(open.flatMap(({ order_id }) => (order_id === null ? [] : [order_id])))) {
      await this.settle(orderId);
    }
    for (const { id } of open.filter(({ order_id }) => order_id === null)) await this.giveUp(id);
  }

  /** What is to be done, but for what a sale that is under way holds. */
  #open() {
    const forgotten = new Date(this.#parts.clock.now().getTime() - FORGOTTEN_AFTER_MS);
    const isDue = [{ kind: { [Op.ne]: 'hold' } }, { created_at: { [Op.lt]: forgotten } }];
    return { done_at: null, [Op.or]: isDue };
  }

  #settle(of: object, work: () => Promise<void>): Promise<void> {
    const settling = work()
      .catch((error: unknown) => {
        this.#parts.log.warn({ err: error, ...of }, 'the inventory cannot be told of an order yet');
      })
      .finally(() => this.#settling.delete(settling));
    this.#settling.add(settling);
    return settling;
  }

  async #write(
    kind: StockErrand['kind'],
    of: { orderId: number | null; reservationId: string | null; accountId: number | null; lines: StockLine[] },
    transaction?: Transaction,
  ): Promise<StockErrand> {
    const { models, clock } = this.#parts;
    const lines = of.lines.map(({ productId, quantity }) => ({ productId, quantity }));
    return models.StockErrand.create(
      {
        kind,
        order_id: of.orderId,
        reservation_id: of.reservationId,
        account_id: of.accountId,
        stock_lines: JSON.stringify(lines),
        created_at: clock.now(),
        sent_at: null,
        done_at: null,
      },
      transaction === undefined ? {} : { transaction },
    );
  }

  /** A confirmation comes before what gives back; one that cannot be had is no reason to keep stock of a cancelled order. */
  async #runOf(orderId: number): Promise<void> {
    const errands = await this.#parts.models.StockErrand.findAll({ where: { order_id: orderId } });
    const [confirm, giveBack] = (['confirm', 'give_back'] as const).map((kind) =>
      errands.find((one) => one.kind === kind),
    );
    if (giveBack !== undefined && giveBack.done_at === null) {
      await this.#giveBack(giveBack, orderId, confirm);
      if (confirm !== undefined && confirm.done_at === null) await this.#done(confirm);
      return;
    }
    if (confirm !== undefined && confirm.done_at === null && giveBack === undefined) {
      await this.#confirm(confirm, orderId);
    }
  }

  async #confirm(errand: StockErrand, orderId: number): Promise<void> {
    const { client, local } = this.#parts;
    const id = reservationOf(errand);
    await this.#byOwner(errand, {
      local: async () => {
        // The level that the shop has now is without what was reserved, unless the service had put it back.
        const state = await client.surrender({ reservationId: id }, this.#epoch());
        if (!putBackThere.includes(state)) return this.#done(errand);
        const taken = await this.#doneWith(errand, async (open, transaction) => {
          const cause = { orderId, accountId: errand.account_id };
          const { kind } = await local.takeStock(linesOf(errand), cause, transaction);
          if (kind === 'short') throw new SoldToOthers();
          await open.update({ reservation_id: null }, { transaction });
        }).catch(soldToOthers);
        if (!taken) this.#lose(orderId, id);
      },
      remote: async (epoch) => {
        const state = await client.confirm(id, { id: orderId, epoch });
        if (state === 'CONFIRMED' || state === 'RETURNED') return this.#done(errand);
        // Its time was over before anybody could confirm it.
        if (await this.#reserveAgain(errand, id, epoch)) return this.#confirm(errand, orderId);
        this.#lose(orderId, id);
      },
    });
  }

  #lose(orderId: number, reservation: string): void {
    this.#lost.inc();
    this.#parts.log.error(
      { orderId, reservation },
      'the stock of an order was sold to others; cancel the order, or add stock',
    );
  }

  /** Gives an order another reservation of the same lines; false, with nothing kept, where there is no stock for it. */
  async #reserveAgain(errand: StockErrand, id: string, epoch: number): Promise<boolean> {
    const request = { lines: linesOf(errand), ttlMs: reservationTtlMs, accountId: errand.account_id };
    for (let again = reservationAgain(id); ; again = reservationAgain(again)) {
      const { kind } = await this.#parts.client.reserve({ ...request, id: again }, epoch);
      if (kind === 'short') return false;
      // An earlier run of this errand may have made it, and died before it could say so.
      if (kind !== 'RESERVED' && kind !== 'CONFIRMED') continue;
      await errand.update({ reservation_id: again });
      return true;
    }
  }

  async #release(errand: StockErrand): Promise<void> {
    const { client, local } = this.#parts;
    const id = reservationOf(errand);
    await this.#byOwner(errand, {
      local: async () => {
        const state = await client.surrender({ reservationId: id }, this.#epoch());
        if (state !== 'SURRENDERED') return this.#done(errand);
        const cause = { reason: 'reservation released', orderId: null, accountId: errand.account_id };
        await this.#doneWith(errand, (_open, transaction) => local.putBack(linesOf(errand), cause, transaction));
      },
      remote: async (epoch) => {
        await client.release(id, epoch);
        await this.#done(errand);
      },
    });
  }

  async #giveBack(errand: StockErrand, orderId: number, confirm: StockErrand | undefined): Promise<void> {
    const { client, local, clock } = this.#parts;
    const reservationId = confirm?.reservation_id ?? null;
    const cause = { orderId, accountId: errand.account_id };
    const request = { ...cause, lines: linesOf(errand), reservationId };
    // Only an order of which the service knows, or was asked to put back, can have lost there what the shop would put back here.
    const mayBePutBackThere = () => errand.sent_at !== null || (confirm !== undefined && confirm.done_at === null);
    await this.#byOwner(errand, {
      local: async () => {
        const by = reservationId === null ? { orderId } : { reservationId };
        const state = mayBePutBackThere() ? await client.surrender(by, this.#epoch()) : 'UNKNOWN';
        await this.#doneWith(errand, async (_open, transaction) => {
          // A confirmation that runs at the same time may take the stock anew, and none does after this.
          const tookAnew = confirm !== undefined && (await this.#closeConfirmation(confirm.id, transaction)) === null;
          if (tookAnew || !putBackThere.includes(state)) await local.giveBack(request.lines, cause, transaction);
        });
      },
      remote: async (epoch) => {
        if (errand.sent_at === null) await errand.update({ sent_at: clock.now() });
        await client.giveBack(request, epoch);
        await this.#done(errand);
      },
    });
  }

  /** Nothing is confirmed from now on; gives the reservation of what was, or null where the shop itself has the stock. */
  async #closeConfirmation(id: number, transaction: Transaction): Promise<string | null> {
    const { StockErrand } = this.#parts.models;
    const confirm = await StockErrand.findByPk(id, { lock: transaction.LOCK.UPDATE, transaction, rejectOnEmpty: true });
    if (confirm.done_at === null) await this.#done(confirm, transaction);
    return confirm.reservation_id;
  }

  /**
   * Does an open errand where the owner is. It is looked at anew each time that the owner is known: under an earlier one another process
   * may have done it, or asked for it.
   */
  #byOwner(
    errand: StockErrand,
    { local, remote }: { local(): Promise<void>; remote(epoch: number): Promise<void> },
  ): Promise<void> {
    const ifOpen = async (work: () => Promise<void>): Promise<void> => {
      await errand.reload();
      if (errand.done_at === null) await work();
    };
    return throughSeam({
      owner: this.#parts.owner,
      local: () => ifOpen(local),
      remote: (epoch) => ifOpen(() => remote(epoch)),
    });
  }

  /** The one that the flags say; without flags nobody knows whose the stock is. */
  #epoch(): number {
    const said = this.#parts.owner.now();
    if (said === undefined) throw new Error('stock errands: expected the flags to say who owns the stock; found none');
    return said.epoch;
  }

  /** Does it and the work in one transaction, once; false where it was done before. */
  #doneWith(
    errand: StockErrand,
    work: (open: StockErrand, transaction: Transaction) => Promise<void>,
  ): Promise<boolean> {
    const { sequelize, models } = this.#parts;
    return inTransaction(sequelize, async (transaction) => {
      const open = await models.StockErrand.findByPk(errand.id, { lock: transaction.LOCK.UPDATE, transaction });
      if (open === null || open.done_at !== null) return true;
      await work(open, transaction);
      await this.#done(open, transaction);
      return true;
    });
  }

  async #done(errand: StockErrand, transaction?: Transaction): Promise<void> {
    await errand.update({ done_at: this.#parts.clock.now() }, transaction === undefined ? {} : { transaction });
  }
}

/** There is no stock for an order that was sold. */
class SoldToOthers extends Error {
  override name = 'SoldToOthers';
}

function soldToOthers(error: unknown): false {
  if (error instanceof SoldToOthers) return false;
  throw error;
}

/** `a` → `a.again-1` → `a.again-2`. */
export function reservationAgain(id: string): string {
  const [, first = id, number = '0'] = /^(.*)\.again-(\d+)$/.exec(id) ?? [];
  return `${first}.again-${Number(number) + 1}`;
}

function reservationOf({ id, reservation_id: reservation }: StockErrand): string {
  if (reservation === null) throw new Error(`stock errand ${id}: expected a reservation, found none`);
  return reservation;
}

function linesOf({ stock_lines }: StockErrand): StockLine[] {
  return JSON.parse(stock_lines) as StockLine[];
}
