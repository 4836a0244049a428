import type { Log } from '@strangler/platform/log.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import { Counter, type Registry } from 'prom-client';
import type { Transaction } from 'sequelize';
import type { InventoryModels } from '../models.ts';
import type { StockClient } from './stock-client.ts';

/** How much can be sold of each product; one that never had stock is not among them. `unknown`: nobody can say just now. */
export type StockKnown = ReadonlyMap<number, number> | 'unknown';

/** Stock as carts show it. What is sold is decided by the sale alone. */
export type StockReader = {
  /** `transaction`: read in it, where the stock is in the shop's own tables. Never throws for a service that is away. */
  availableOf(productIds: readonly number[], transaction?: Transaction): Promise<StockKnown>;
};

/** From the shop's own table, in one statement. */
export function localStockReader({ StockLevel }: Pick<InventoryModels, 'StockLevel'>): StockReader {
  return {
    async availableOf(productIds, transaction) {
      if (productIds.length === 0) return new Map();
      const levels = await StockLevel.findAll({
        where: { product_id: [...productIds] },
        attributes: ['product_id', 'available'],
        transaction: transaction ?? null,
      });
      return new Map(levels.map(({ product_id, available }) => [Number(product_id), available]));
    },
  };
}

/** From the inventory service. A cart is shown also while that is away: composition must not make two failures of one. */
export function remoteStockReader({
  client,
  log,
  metrics,
}: {
  client: Pick<StockClient, 'levels'>;
  log: Log;
  metrics: Registry;
}): StockReader {
  const unknown = new Counter({
    name: 'shop_stock_unknown_total',
    help: 'Carts that were shown without knowing the stock, because the inventory did not answer.',
    registers: [metrics],
  });
  return {
    async availableOf(productIds) {
      if (productIds.length === 0) return new Map();
      try {
        return await client.levels(productIds);
      } catch (error) {
        unknown.inc();
        log.warn({ err: error }, 'a cart is shown as if all of it were in stock: the inventory did not answer');
        return 'unknown';
      }
    },
  };
}

/** Local as long as the shop's table is kept in step, which is until the slice is complete. */
export function stockReaderOfStage(
  owner: OwnerFollower,
  { local, remote }: { local: StockReader; remote: StockReader },
): StockReader {
  return {
    availableOf: (...args) => (owner.now()?.stage === 'complete' ? remote : local).availableOf(...args),
  };
}
