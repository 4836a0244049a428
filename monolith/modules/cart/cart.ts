import type { Sequelize, Transaction } from 'sequelize';
import type { Clock } from '../../clock.ts';
import type { Models } from '../../models/index.ts';
import { inTransaction } from '../../transaction.ts';
import type { ProductReader } from '../catalogue/owner/product-reader.ts';
import type { StockReader } from '../inventory/owner/stock-reader.ts';

/**
 * Whether a line could be bought now. `short`: some are left, but fewer than wanted; `withdrawn`: the product is no longer sold.
 */
export type Availability = 'available' | 'short' | 'sold_out' | 'withdrawn';

/** A line as it would be sold, but for the stock: that is seen when it is taken. */
export type SaleLine = {
  productId: number;
  name: string;
  unitPriceCents: number;
  currency: string;
  quantity: number;
  /** Whether the product is still offered at all. */
  sold: boolean;
};

export type CartLine = Omit<SaleLine, 'sold'> & { availability: Availability };

export type PutOutcome = { kind: 'put' } | { kind: 'no_such_product' } | { kind: 'full'; mostLines: number };

/** How many different products fit in a cart. */
export const mostCartLines = 100;

/** What the checkout asks of the carts. */
export type Carts = {
  /** The lines of a cart as they are now, whatever becomes of it. */
  linesForSale(accountId: number): Promise<SaleLine[]>;
  /** Locks the account's cart against any change until the transaction ends, and gives its lines, by product id. */
  lockForSale(accountId: number, transaction: Transaction): Promise<SaleLine[]>;
  /** Takes every line out. */
  empty(accountId: number, transaction: Transaction): Promise<void>;
};

/** The carts: one an account, made by the first product put into it. */
export class LocalCarts implements Carts {
  readonly #sequelize: Sequelize;
  readonly #models: Models;
  readonly #clock: Clock;
  readonly #products: ProductReader;
  readonly #stock: StockReader;

  constructor({
    sequelize,
    models,
    clock,
    catalogue,
    stock,
  }: {
    sequelize: Sequelize;
    models: Models;
    clock: Clock;
    catalogue: { productReader: ProductReader };
    stock: StockReader;
  }) {
    this.#sequelize = sequelize;
    this.#models = models;
    this.#clock = clock;
    this.#products = catalogue.productReader;
    this.#stock = stock;
  }

  async lockForSale(accountId: number, transaction: Transaction): Promise<SaleLine[]> {
    const cart = await this.#models.Cart.findByPk(accountId, { lock: transaction.LOCK.UPDATE, transaction });
    return cart ? this.linesForSale(accountId, transaction) : [];
  }

  async empty(accountId: number, transaction: Transaction): Promise<void> {
    await this.#models.CartItem.destroy({ where: { account_id: accountId }, transaction });
  }

  /** The lines of a cart with the products' present names, prices and stock. */
  async lines(accountId: number): Promise<CartLine[]> {
    const lines = await this.linesForSale(accountId);
    const stock = await this.#stock.availableOf(lines.map(({ productId }) => productId));
    return lines.map(({ sold, ...line }) => {
      const left = stock === 'unknown' ? 'unknown' : (stock.get(line.productId) ?? 0);
      return { ...line, availability: availabilityOf({ sold, left, wanted: line.quantity }) };
    });
  }

  async linesForSale(accountId: number, transaction?: Transaction): Promise<SaleLine[]> {
    const items = await this.#models.CartItem.findAll({
      where: { account_id: accountId },
      order: [['product_id', 'ASC']],
      ...(transaction ? { transaction } : {}),
    });
    const products = await this.#products.byIds(
      items.map(({ product_id }) => product_id),
      transaction,
    );
    return items.map(({ product_id, quantity }) => {
      const product = products.get(product_id);
      if (!product) throw new Error(`product ${product_id} in the cart of account ${accountId} has no row`);
      return {
        productId: product_id,
        name: product.name,
        unitPriceCents: product.priceCents,
        currency: product.currency,
        quantity,
        sold: product.active && !product.archived,
      };
    });
  }

  /** Sets how many of a product are in the cart. */
  async put(accountId: number, productId: number, quantity: number): Promise<PutOutcome> {
    const { Cart, CartItem } = this.#models;
    return inTransaction(this.#sequelize, async (transaction) => {
      const now = this.#clock.now();
      const product = (await this.#products.byIds([productId], transaction)).get(productId);
      if (!product?.active || product.archived) return { kind: 'no_such_product' };
      await Cart.upsert({ account_id: accountId, updated_at: now }, { transaction });
      // Not by what UPDATE says it changed: MySQL counts no row where the quantity stays the same.
      const line = await CartItem.findOne({
        where: { account_id: accountId, product_id: productId },
        lock: transaction.LOCK.UPDATE,
        transaction,
      });
      if (line) {
        await CartItem.update({ quantity }, { where: { account_id: accountId, product_id: productId }, transaction });
        return { kind: 'put' };
      }
      const lines = await CartItem.count({ where: { account_id: accountId }, transaction });
      if (lines >= mostCartLines) return { kind: 'full', mostLines: mostCartLines };
      await CartItem.create({ account_id: accountId, product_id: productId, quantity, added_at: now }, { transaction });
      return { kind: 'put' };
    });
  }

  /** Takes a product out of the cart, or all of them; what is not there is no error. */
  async remove(accountId: number, which: { productId: number } | 'all'): Promise<void> {
    const { Cart, CartItem } = this.#models;
    await inTransaction(this.#sequelize, async (transaction) => {
      await Cart.update({ updated_at: this.#clock.now() }, { where: { account_id: accountId }, transaction });
      await CartItem.destroy({
        where: { account_id: accountId, ...(which === 'all' ? {} : { product_id: which.productId }) },
        transaction,
      });
    });
  }
}

/** `sold`: whether the product is still offered at all. What nobody knows is shown as available: the sale will tell. */
export function availabilityOf({
  sold,
  left,
  wanted,
}: {
  sold: boolean;
  left: number | 'unknown';
  wanted: number;
}): Availability {
  if (!sold) return 'withdrawn';
  if (left === 'unknown' || left >= wanted) return 'available';
  return left > 0 ? 'short' : 'sold_out';
}
