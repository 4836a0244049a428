import { createHash } from 'node:crypto';
import { Op, type Sequelize, type Transaction } from 'sequelize';
import type { Clock } from '../../clock.ts';
import type { Models } from '../../models/index.ts';
import { inTransaction } from '../../transaction.ts';
import type { Carts, SaleLine } from './cart.ts';
import type { CartItemRow, CartSale } from './models.ts';

/** How long it is known what a sale took out of a cart; whoever sells has long ended by then. */
const KEPT_MS = 30 * 24 * 3_600_000;
const FORGOTTEN_AT_ONCE = 100;

type KeptLine = Omit<CartItemRow, 'account_id' | 'added_at'> & { added_at: string };

/**
 * Carts that are sold by another system, which cannot lock them: it reads a cart with its version, and takes it, once, if it is
 * still of that version. Every call may be repeated.
 */
export class CartSales {
  readonly #sequelize: Sequelize;
  readonly #models: Models;
  readonly #clock: Clock;
  readonly #carts: Pick<Carts, 'linesForSale'>;

  constructor(parts: { sequelize: Sequelize; models: Models; clock: Clock; carts: Pick<Carts, 'linesForSale'> }) {
    this.#sequelize = parts.sequelize;
    this.#models = parts.models;
    this.#clock = parts.clock;
    this.#carts = parts.carts;
  }

  /** The cart as it is, and the version of its lines: never one that is newer than they are. */
  async read(accountId: number): Promise<{ version: string; lines: SaleLine[] }> {
    const version = versionOf(await this.#items(accountId));
    return { version, lines: await this.#carts.linesForSale(accountId) };
  }

  /** Takes every line out if the cart is of this version; a sale that has taken it before has taken it. */
  take(saleId: string, accountId: number, version: string): Promise<'taken' | 'changed'> {
    return inTransaction(this.#sequelize, async (transaction) => {
      const cart = await this.#lockCart(accountId, transaction);
      const known = await this.#sale(saleId, transaction);
      if (known !== null) return known.account_id === accountId && known.state === 'taken' ? 'taken' : 'changed';
      if (cart === null) return 'changed';
      const items = await this.#items(accountId, transaction);
      if (items.length === 0 || versionOf(items) !== version) return 'changed';
      await this.#models.CartItem.destroy({ where: { account_id: accountId }, transaction });
      await this.#write(saleId, accountId, { state: 'taken', items }, transaction);
      return 'taken';
    });
  }

  /** Puts the lines back that a sale took, but for those that the cart has anew. A sale that took nothing never will. */
  async giveBack(saleId: string, accountId: number): Promise<void> {
    await inTransaction(this.#sequelize, async (transaction) => {
      const cart = await this.#lockCart(accountId, transaction);
      const known = await this.#sale(saleId, transaction);
      if (cart === null || (known !== null && known.account_id !== accountId)) return;
      if (known === null) return this.#write(saleId, accountId, { state: 'returned', items: [] }, transaction);
      if (known.state === 'returned') return;
      const lines = JSON.parse(known.cart_lines) as KeptLine[];
      const rows = lines.map((line) => ({ ...line, account_id: accountId, added_at: new Date(line.added_at) }));
      await this.#models.CartItem.bulkCreate(rows, { ignoreDuplicates: true, transaction });
      await known.update({ state: 'returned' }, { transaction });
    });
  }

  async #write(
    id: string,
    accountId: number,
    { state, items }: { state: 'taken' | 'returned'; items: KeptLine[] },
    transaction: Transaction,
  ): Promise<void> {
    const now = this.#clock.now();
    const { Cart, CartSale } = this.#models;
    await CartSale.create(
      { id, account_id: accountId, state, cart_lines: JSON.stringify(items), created_at: now },
      { transaction },
    );
    await Cart.update({ updated_at: now }, { where: { account_id: accountId }, transaction });
    const old = { account_id: accountId, created_at: { [Op.lt]: new Date(now.getTime() - KEPT_MS) } };
    await CartSale.destroy({ where: old, limit: FORGOTTEN_AT_ONCE, transaction });
  }

  #lockCart(accountId: number, transaction: Transaction) {
    return this.#models.Cart.findByPk(accountId, { lock: transaction.LOCK.UPDATE, transaction });
  }

  #sale(id: string, transaction: Transaction): Promise<CartSale | null> {
    return this.#models.CartSale.findByPk(id, { lock: transaction.LOCK.UPDATE, transaction });
  }

  async #items(accountId: number, transaction?: Transaction): Promise<KeptLine[]> {
    const items = await this.#models.CartItem.findAll({
      where: { account_id: accountId },
      order: [['product_id', 'ASC']],
      ...(transaction ? { transaction } : {}),
    });
    return items.map(({ product_id, quantity, added_at }) => ({
      product_id,
      quantity,
      added_at: added_at.toISOString(),
    }));
  }
}

/** A line that was taken out and put in again is another one: it was put in at another time. */
function versionOf(items: KeptLine[]): string {
  return createHash('sha256').update(JSON.stringify(items)).digest('hex').slice(0, 32);
}
