import { QueryTypes, type Sequelize, type Transaction } from 'sequelize';
import type { Clock } from '../../clock.ts';
import type { Models } from '../../models/index.ts';
import { sqlTime } from '../../sql-time.ts';
import { inTransaction } from '../../transaction.ts';
import type { ProductReader } from '../catalogue/owner/product-reader.ts';
import type { StockAdjustment, StockLevel } from './models.ts';

/** How much of a product an order takes. */
export type StockLine = { productId: number; quantity: number };

/** The order for which stock moves, and its customer; `accountId` is null where nobody's request moved it. */
export type StockCause = { orderId: number; accountId: number | null };

/** Why stock moves: words for the list of changes, and the order, if there is one. */
export type MoveCause = { reason: string; orderId: number | null; accountId: number | null };

export type Shortage = { productId: number; wanted: number; left: number };

export type TakeOutcome = { kind: 'taken' } | { kind: 'short'; shortages: Shortage[] };

export type StockView = { productId: number; available: number; version: number; updatedAt: Date | null };

export type AdjustOutcome =
  | { kind: 'adjusted'; adjustment: StockAdjustment; stock: StockView }
  | { kind: 'no_such_product' }
  | { kind: 'changed_meanwhile' }
  | { kind: 'below_zero'; left: number }
  | { kind: 'too_much'; most: number };

/**
 * Takes stock for every line, or says which lines are short: the caller then rolls back, because some lines may have been taken.
 */
export type TakeStock = (lines: StockLine[], cause: StockCause, transaction: Transaction) => Promise<TakeOutcome>;

/** What is about to be sold. */
export type Sale = {
  /** Another for every try to sell; at most 40 letters, digits, `.`, `_` or `-`. */
  id: string;
  accountId: number;
  /** What will be taken, as far as it is known before the transaction. */
  lines(): Promise<StockLine[]>;
};

/** What the rest of the shop asks of the inventory. */
export type Inventory = {
  /**
   * Runs `place`, which sells in a transaction of its own and takes the stock for that with what it is given. It may be run again where
   * it has failed, and has no effect beside its transaction.
   */
  sell<T>(sale: Sale, place: (take: TakeStock) => Promise<T>): Promise<T>;
  /** Puts back what an order had taken. */
  giveBack(lines: StockLine[], cause: StockCause, transaction: Transaction): Promise<void>;
};

/** The most that a stock level may reach. */
export const mostAvailable = 1_000_000_000;

/** The inventory, kept in this database. */
export class LocalInventory implements Inventory {
  readonly #sequelize: Sequelize;
  readonly #models: Models;
  readonly #clock: Clock;
  readonly #products: ProductReader;

  constructor({
    sequelize,
    models,
    clock,
    catalogue,
  }: {
    sequelize: Sequelize;
    models: Models;
    clock: Clock;
    catalogue: { productReader: ProductReader };
  }) {
    this.#sequelize = sequelize;
    this.#models = models;
    this.#clock = clock;
    this.#products = catalogue.productReader;
  }

  sell<T>(_sale: Sale, place: (take: TakeStock) => Promise<T>): Promise<T> {
    return place((lines, cause, transaction) => this.takeStock(lines, cause, transaction));
  }

  /**
   * Rows are locked in the order of their product ids, whatever the order of `lines`, so that two calls never wait for each other in a
   * circle.
   */
  async takeStock(lines: StockLine[], cause: StockCause, transaction: Transaction): Promise<TakeOutcome> {
    const shortages: Shortage[] = [];
    for (const { productId, quantity } of inLockOrder(lines)) {
      const taken = await this.#move(productId, -quantity, transaction);
      if (!taken) shortages.push({ productId, wanted: quantity, left: await this.#left(productId, transaction) });
    }
    if (shortages.length > 0) return { kind: 'short', shortages };
    await this.#record(lines, -1, { ...cause, reason: 'order placed' }, transaction);
    return { kind: 'taken' };
  }

  giveBack(lines: StockLine[], cause: StockCause, transaction: Transaction): Promise<void> {
    return this.putBack(lines, { ...cause, reason: 'order cancelled' }, transaction);
  }

  async putBack(lines: StockLine[], cause: MoveCause, transaction: Transaction): Promise<void> {
    for (const { productId, quantity } of inLockOrder(lines)) {
      const moved = await this.#move(productId, quantity, transaction);
      if (!moved) {
        const whose = cause.orderId === null ? 'a reservation' : `order ${cause.orderId}`;
        throw new Error(`stock level of product ${productId} is missing, though ${whose} took some`);
      }
    }
    await this.#record(lines, +1, cause, transaction);
  }

  /** The stock of a product; undefined where there is no such product. */
  async find(productId: number): Promise<StockView | undefined> {
    if (!(await this.#isThere(productId))) return undefined;
    return viewOf(productId, await this.#models.StockLevel.findByPk(productId));
  }

  /**
   * Changes a stock level by hand, making its row where the product has none yet. `isExpected`, if given, sees the level as it is
   * under the lock, and refuses to go on where it has changed.
   */
  async adjust(request: {
    productId: number;
    delta: number;
    reason: string;
    accountId: number;
    isExpected?: (stock: StockView) => boolean;
  }): Promise<AdjustOutcome> {
    const { productId, delta, reason, accountId, isExpected } = request;
    return inTransaction(this.#sequelize, async (transaction) => {
      if (!(await this.#isThere(productId, transaction))) return { kind: 'no_such_product' };
      await this.#ensureRow(productId, transaction);
      const level = await this.#models.StockLevel.findByPk(productId, { lock: transaction.LOCK.UPDATE, transaction });
      if (!level) return { kind: 'no_such_product' };
      if (isExpected && !isExpected(viewOf(productId, level))) return { kind: 'changed_meanwhile' };
      if (level.available + delta < 0) return { kind: 'below_zero', left: level.available };
      if (level.available + delta > mostAvailable) return { kind: 'too_much', most: mostAvailable };
      const now = this.#clock.now();
      await level.update(
        { available: level.available + delta, version: level.version + 1, updated_at: now },
        { transaction },
      );
      const adjustment = await this.#models.StockAdjustment.create(
        { product_id: productId, delta, reason, account_id: accountId, order_id: null, created_at: now },
        { transaction },
      );
      return { kind: 'adjusted', adjustment, stock: viewOf(productId, level) };
    });
  }

  /** Adds `delta` to a stock level; false, with nothing changed, where it would fall below zero or there is none. */
  async #move(productId: number, delta: number, transaction: Transaction): Promise<boolean> {
    const [, changedRows] = await this.#sequelize.query(
      `UPDATE stock_levels SET available = available + :delta, version = version + 1, updated_at = :now
       WHERE product_id = :productId AND available >= :atLeast`,
      {
        type: QueryTypes.UPDATE,
        replacements: { productId, delta, atLeast: Math.max(0, -delta), now: sqlTime(this.#clock.now()) },
        transaction,
      },
    );
    return changedRows === 1;
  }

  async #left(productId: number, transaction: Transaction): Promise<number> {
    const level = await this.#models.StockLevel.findByPk(productId, { transaction });
    return level?.available ?? 0;
  }

  async #isThere(productId: number, transaction?: Transaction): Promise<boolean> {
    const product = (await this.#products.byIds([productId], transaction)).get(productId);
    return product !== undefined && !product.archived;
  }

  async #ensureRow(productId: number, transaction: Transaction): Promise<void> {
    await this.#sequelize.query(
      `INSERT INTO stock_levels (product_id, available, version, updated_at) VALUES (:productId, 0, 1, :now)
       ON DUPLICATE KEY UPDATE product_id = stock_levels.product_id`,
      { type: QueryTypes.INSERT, replacements: { productId, now: sqlTime(this.#clock.now()) }, transaction },
    );
  }

  async #record(lines: StockLine[], sign: 1 | -1, cause: MoveCause, transaction: Transaction) {
    const now = this.#clock.now();
    await this.#models.StockAdjustment.bulkCreate(
      lines.map(({ productId, quantity }) => ({
        product_id: productId,
        delta: sign * quantity,
        reason: cause.reason,
        account_id: cause.accountId,
        order_id: cause.orderId,
        created_at: now,
      })),
      { transaction },
    );
  }
}

function inLockOrder(lines: StockLine[]): StockLine[] {
  return lines.toSorted((a, b) => a.productId - b.productId);
}

function viewOf(productId: number, level: StockLevel | null): StockView {
  return level
    ? { productId, available: level.available, version: level.version, updatedAt: level.updated_at }
    : { productId, available: 0, version: 0, updatedAt: null };
}
