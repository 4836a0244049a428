import { migrateUp } from '@strangler/inventory/database.ts';
import type { RowDataPacket } from 'mysql2/promise';
import { startCopiedPair } from './copied-pair.ts';
import type { SlicePair } from './slice-pair.ts';

/** The stock at the shop and at the inventory. One product in five has never had any; one is archived. */
export function startInventoryPair(label: string): Promise<SlicePair> {
  const stock = ['stock_levels', 'stock_adjustments'];
  return startCopiedPair(label, {
    slice: 'inventory',
    migrateUp,
    async prepare(shop) {
      await shop.query('DELETE FROM stock_adjustments WHERE product_id % 5 = 0');
      await shop.query('DELETE FROM stock_levels WHERE product_id % 5 = 0');
      await shop.query('UPDATE products SET archived_at = NOW(3) WHERE id = 3');
    },
    // The clock stands still: nothing is ever due, and there is no need to look for it.
    env: { service: { SWEEP_EVERY: '10m' } },
    tables: { shop: stock, service: stock },
    spoiled: 'UPDATE stock_levels SET available = available + 1 LIMIT 1',
    async known(shop) {
      const [rows] = await shop.query<RowDataPacket[]>('SELECT id FROM products ORDER BY id DESC LIMIT 40');
      return { '/api/inventory': rows.map(({ id }) => Number(id)) };
    },
  });
}
