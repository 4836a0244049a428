import type { ScryptParameters } from '../auth/password.ts';
import { accountsTables } from '../modules/accounts/seed.ts';
import { cartTables } from '../modules/cart/seed.ts';
import { catalogueTables } from '../modules/catalogue/seed.ts';
import { inventoryTables } from '../modules/inventory/seed.ts';
import { notificationTables } from '../modules/notifications/seed.ts';
import { ordersTables } from '../modules/orders/seed.ts';
import type { SeedPlan, SeedTable } from './seed-table.ts';

/** Every seeded table, referred-to ones before those that refer to them. */
export async function seedTables(plan: SeedPlan, scrypt?: ScryptParameters): Promise<SeedTable[]> {
  return [
    ...(await accountsTables(plan, scrypt)),
    ...catalogueTables(),
    ...ordersTables(),
    ...inventoryTables(),
    ...cartTables(),
    ...notificationTables(),
  ];
}
