import { type Executor, select } from '@strangler/platform/mysql/statements.ts';
import { presentProducts } from '../products/present-products.ts';
import { type LevelRow, levelColumns, type StockView, viewOf } from './stock-view.ts';

export type StockReader = {
  /** The stock of a product; undefined where there is no such product, or it is archived. */
  find(productId: number): Promise<StockView | undefined>;
  /** The stock of each of these, whether or not there is such a product, in the order of the ids. */
  levels(productIds: readonly number[]): Promise<StockView[]>;
  /** Those of them that there are, and are not archived. */
  present(productIds: readonly number[]): Promise<ReadonlySet<number>>;
};

export function createStockReader(pool: Executor): StockReader {
  const levels = async (productIds: readonly number[]): Promise<StockView[]> => {
    if (productIds.length === 0) return [];
    const sql = `SELECT ${levelColumns} FROM stock_levels WHERE product_id IN (?)`;
    const rows = await select<LevelRow>(pool, sql, [productIds]);
    const byId = new Map(rows.map((row) => [Number(row.product_id), row]));
    return productIds.map((id) => viewOf(id, byId.get(id)));
  };
  return {
    levels,
    async find(productId) {
      if (!(await presentProducts(pool, [productId])).has(productId)) return undefined;
      const [stock] = await levels([productId]);
      return stock;
    },
    async present(productIds) {
      return presentProducts(pool, productIds);
    },
  };
}
