import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import { type LevelRow, levelColumns, type StockView, viewOf } from './stock-view.ts';

/** One change of a stock level, and why. */
export type StockMove = {
  delta: number;
  reason: string;
  /** Who did it: the administrator, or the customer; null where nobody's request did. */
  accountId: number | null;
  orderId: number | null;
};

/** The level has another version than the one that the move was decided on; nothing was changed. */
export class LevelHasChanged extends Error {
  override name = 'LevelHasChanged';
}

/** Changes stock levels, each with its line in `stock_adjustments` and its event: their deltas add up to what is available. */
export type StockLedger = {
  /** The levels of these products, locked in the order of their ids; one that never had stock is not among them. */
  lock(productIds: readonly number[], transaction: Executor): Promise<Map<number, StockView>>;
  /**
   * Changes a level that was read as `from`, locked or not. Gives the level after it and the id of the adjustment.
   * @throws LevelHasChanged where it is another version by now.
   */
  move(
    from: StockView,
    move: StockMove,
    now: Date,
    transaction: Executor,
  ): Promise<{ adjustmentId: number; stock: StockView }>;
};

export function createStockLedger({ events }: { events: EventRecorder }): StockLedger {
  return {
    async lock(productIds, transaction) {
      if (productIds.length === 0) return new Map();
      const sql = `SELECT ${levelColumns} FROM stock_levels WHERE product_id IN (?) ORDER BY product_id FOR UPDATE`;
      const rows = await select<LevelRow>(transaction, sql, [productIds.toSorted((a, b) => a - b)]);
      return new Map(rows.map((row) => [Number(row.product_id), viewOf(Number(row.product_id), row)]));
    },

    async move({ productId, available, version }, { delta, reason, accountId, orderId }, now, transaction) {
      const stock = { productId, available: available + delta, version: version + 1, updatedAt: now };
      const { found } = await change(
        transaction,
        'UPDATE stock_levels SET available = ?, version = ?, updated_at = ? WHERE product_id = ? AND version = ?',
        [stock.available, stock.version, now, productId, version],
      );
      if (found !== 1)
        throw new LevelHasChanged(`the stock of product ${productId} is no longer at version ${version}`);
      const { id } = await change(
        transaction,
        `INSERT INTO stock_adjustments (product_id, delta, reason, account_id, order_id, created_at)
         VALUES (?, ?, ?, ?, ?, ?)`,
        [productId, delta, reason, accountId, orderId, now],
      );
      const told = { product_id: productId, available: stock.available, version: stock.version };
      await events.record('stock.changed', { ...told, occurred_at: now.toISOString() }, transaction);
      return { adjustmentId: id, stock };
    },
  };
}
