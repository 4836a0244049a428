import { createRandom } from '../../seed/random.ts';
import { SEED_END_MS, type SeedPlan, type SeedTable } from '../../seed/seed-table.ts';
import { sqlTime } from '../../sql-time.ts';

/** The admin, who counted the stock. */
const COUNTED_BY = 1;

/** The stock of every product, as it was counted when the seeded time ends: one product in twelve is sold out. */
export function inventoryTables(): SeedTable[] {
  const counted = sqlTime(SEED_END_MS);
  return [
    {
      table: 'stock_levels',
      columns: ['product_id', 'available', 'version', 'updated_at'],
      rowCount: ({ size }) => size,
      *rows(plan) {
        for (let id = 1; id <= plan.size; id++) yield [id, stockOf(plan, id), 1, counted];
      },
    },
    {
      table: 'stock_adjustments',
      columns: ['id', 'product_id', 'delta', 'reason', 'account_id', 'order_id', 'created_at'],
      rowCount: ({ size }) => size,
      *rows(plan) {
        for (let id = 1; id <= plan.size; id++) {
          yield [id, id, stockOf(plan, id), 'stock-taking', COUNTED_BY, null, counted];
        }
      },
    },
  ];
}

function stockOf({ seed }: SeedPlan, productId: number): number {
  const random = createRandom(seed, 'stock', productId);
  return random.chance(1 / 12) ? 0 : 1 + Math.floor(random.exponential(80));
}
