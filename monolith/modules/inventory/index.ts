import type { ModuleDeps, ShopModule } from '../module.ts';
import { LocalInventory } from './inventory.ts';
import { inventoryRoutes } from './routes.ts';

export type { Inventory } from './inventory.ts';

export function createInventoryModule(deps: ModuleDeps): ShopModule & { inventory: LocalInventory } {
  const inventory = new LocalInventory(deps);
  return { inventory, routes: inventoryRoutes({ auth: deps.auth, models: deps.models, inventory }) };
}
