import { createRandom } from '../../seed/random.ts';
import { SEED_END_MS, type SeedPlan, type SeedTable } from '../../seed/seed-table.ts';
import { sqlTime } from '../../sql-time.ts';

const MAX_LINES = 3;

/** Carts that were left standing: one customer in ten has one. */
export function cartTables(): SeedTable[] {
  const left = sqlTime(SEED_END_MS);
  return [
    {
      table: 'carts',
      columns: ['account_id', 'updated_at'],
      rowCount: (plan) => [...allCarts(plan)].length,
      *rows(plan) {
        for (const { accountId } of allCarts(plan)) yield [accountId, left];
      },
    },
    {
      table: 'cart_items',
      columns: ['account_id', 'product_id', 'quantity', 'added_at'],
      rowCount: (plan) => [...allCarts(plan)].reduce((sum, { lines }) => sum + lines.length, 0),
      *rows(plan) {
        for (const { accountId, lines } of allCarts(plan)) {
          for (const { productId, quantity } of lines) yield [accountId, productId, quantity, left];
        }
      },
    },
  ];
}

function* allCarts(plan: SeedPlan): Iterable<{ accountId: number; lines: { productId: number; quantity: number }[] }> {
  for (let accountId = 2; accountId <= plan.accounts; accountId++) {
    const random = createRandom(plan.seed, 'cart', accountId);
    if (!random.chance(0.1)) continue;
    const chosen = new Set<number>();
    for (let line = random.integer(1, MAX_LINES); line > 0; line--) chosen.add(random.integer(1, plan.size));
    const ordered = [...chosen].sort((a, b) => a - b);
    yield { accountId, lines: ordered.map((productId) => ({ productId, quantity: random.integer(1, 3) })) };
  }
}
