import type { Log } from '@strangler/platform/log.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import { throughSeam } from '@strangler/platform/ownership/through-seam.ts';
import { type RepeatedJob, repeat } from '@strangler/platform/repeated-job.ts';
import { Counter, Gauge, type Registry } from 'prom-client';
import { type Sequelize, type Transaction, UniqueConstraintError } from 'sequelize';
import type { Clock } from '../../../clock.ts';
import type { Models } from '../../../models/index.ts';
import { inTransaction } from '../../../transaction.ts';
import type { LocalInventory, StockLine } from '../inventory.ts';
import type { StockErrand } from '../models.ts';
import { type GiveBackRequest, StockAway, type StockClient } from './stock-client.ts';

export type NewErrand = {
  kind: 'confirm' | 'give_back';
  orderId: number;
  /** Null for a `give_back`: that of its order, where there is one. */
  reservationId: string | null;
  accountId: number | null;
  lines: StockLine[];
};

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

/**
 * What is to be done to the stock because of an order, written down in the order's own transaction and done after it: at once, and
 * again until it is done. The service's calls may be repeated; what is done here is done with the errand's row locked.
 */
export class StockErrands {
  readonly #parts: StockErrandsParts;
  readonly #lost: Counter;
  readonly #settling = new Set<Promise<void>>();
  #job: RepeatedJob | undefined;

  constructor(parts: StockErrandsParts) {
    this.#parts = parts;
    const { models, metrics } = parts;
    this.#lost = new Counter({
      name: 'shop_stock_lost_total',
      help: 'Tries to confirm an order whose stock was sold to others meanwhile, because its reservation had expired.',
      registers: [metrics],
    });
    new Gauge({
      name: 'shop_stock_errands_open',
      help: 'Orders whose stock the inventory has not been told of yet.',
      registers: [metrics],
      async collect() {
        // While the database is away the figure is the last one that was known.
        const open = await models.StockErrand.count({ where: { done_at: null } }).catch(() => undefined);
        if (open !== undefined) this.set(open);
      },
    });
  }

  start(): void {
    this.#job = repeat('telling the inventory of orders', RUN_EVERY_MS, this.#parts.log, () => this.runOpen());
  }

  async stop(): Promise<void> {
    await this.#job?.stop();
    await Promise.all(this.#settling);
  }

  /** Writes an errand down; an order has one of each kind at most. It is done by `settle` after the commit, or by the job. */
  async add({ kind, orderId, reservationId, accountId, lines }: NewErrand, transaction: Transaction): Promise<void> {
    const { models, clock } = this.#parts;
    const stock_lines = JSON.stringify(lines.map(({ productId, quantity }) => ({ productId, quantity })));
    const of = { order_id: orderId, kind, reservation_id: reservationId, account_id: accountId };
    try {
      await models.StockErrand.create(
        { ...of, stock_lines, created_at: clock.now(), sent_at: null, done_at: null },
        { transaction },
      );
    } catch (error) {
      if (!(error instanceof UniqueConstraintError)) throw error;
    }
  }

  /** Does what is open of an order now; what cannot be done is left to the job. Never throws. */
  settle(orderId: number): Promise<void> {
    const settling = this.#runOf(orderId)
      .catch((error: unknown) => {
        this.#parts.log.warn({ err: error, orderId }, 'the inventory cannot be told of an order yet');
      })
      .finally(() => this.#settling.delete(settling));
    this.#settling.add(settling);
    return settling;
  }

  async runOpen(): Promise<void> {
    const open = await this.#parts.models.StockErrand.findAll({
      where: { done_at: null },
      order: [['id', 'ASC']],
      limit: MOST_AT_ONCE,
    });
    for (const orderId of new Set(open.map(({ order_id }) => order_id))) await this.settle(orderId);
  }

  /** A confirmation comes before what gives back; one that cannot be had is no reason to keep stock of a cancelled order. */
  async #runOf(orderId: number): Promise<void> {
    const errands = await this.#parts.models.StockErrand.findAll({ where: { order_id: orderId } });
    const [confirm, giveBack] = (['confirm', 'give_back'] as const).map((kind) =>
      errands.find((one) => one.kind === kind),
    );
    if (giveBack !== undefined && giveBack.done_at === null) {
      await this.#giveBack(giveBack, confirm?.reservation_id ?? null);
      if (confirm !== undefined && confirm.done_at === null) await this.#done(confirm);
      return;
    }
    if (confirm !== undefined && confirm.done_at === null && giveBack === undefined) await this.#confirm(confirm);
  }

  async #confirm(errand: StockErrand): Promise<void> {
    const { owner, client, log } = this.#parts;
    const { reservation_id: id, order_id: orderId } = errand;
    if (id === null) throw new Error(`stock errand ${errand.id}: expected a reservation, found none`);
    await throughSeam({
      owner,
      // The level that the shop has now is without what was reserved: the reservation alone need be told.
      local: async () => {
        await client.confirm(id, undefined);
        await this.#done(errand);
      },
      remote: async (epoch) => {
        const state = await client.confirm(id, { id: orderId, epoch });
        if (state === 'CONFIRMED' || state === 'RETURNED') return this.#done(errand);
        // Its time was over before anybody could confirm it.
        if (await this.#reserveAgain(errand, id, epoch)) return this.#confirm(errand);
        this.#lost.inc();
        log.error(
          { orderId, reservation: id },
          'the stock of an order was sold to others; cancel the order, or add stock',
        );
      },
    });
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

  async #giveBack(errand: StockErrand, reservationId: string | null): Promise<void> {
    const { owner, client, local, sequelize, models, clock } = this.#parts;
    const request = { orderId: errand.order_id, lines: linesOf(errand), reservationId, accountId: errand.account_id };
    await throughSeam({
      owner,
      local: async () => {
        await errand.reload();
        if (errand.sent_at !== null && (await this.#wasGivenBack(request))) return this.#done(errand);
        await inTransaction(sequelize, async (transaction) => {
          const open = await models.StockErrand.findByPk(errand.id, { lock: transaction.LOCK.UPDATE, transaction });
          if (open === null || open.done_at !== null) return;
          await local.giveBack(request.lines, request, transaction);
          await this.#done(open, transaction);
        });
      },
      remote: async (epoch) => {
        if (errand.sent_at === null) await errand.update({ sent_at: clock.now() });
        await client.giveBack(request, epoch);
        await this.#done(errand);
      },
    });
  }

  /** Whether the service has put the stock back before the ownership went from it; throws where it cannot be asked. */
  async #wasGivenBack(request: GiveBackRequest): Promise<boolean> {
    try {
      await this.#parts.client.giveBack(request, undefined);
      return true;
    } catch (error) {
      if (error instanceof StockAway && error.isFenced) return false;
      throw error;
    }
  }

  async #done(errand: StockErrand, transaction?: Transaction): Promise<void> {
    await errand.update({ done_at: this.#parts.clock.now() }, transaction === undefined ? {} : { transaction });
  }
}

/** `a` → `a.again-1` → `a.again-2`. */
export function reservationAgain(id: string): string {
  const [, first = id, number = '0'] = /^(.*)\.again-(\d+)$/.exec(id) ?? [];
  return `${first}.again-${Number(number) + 1}`;
}

function linesOf({ stock_lines }: StockErrand): StockLine[] {
  return JSON.parse(stock_lines) as StockLine[];
}
