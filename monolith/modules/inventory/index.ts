import { withinFence } from '@strangler/platform/ownership/within-fence.ts';
import type { ModuleDeps, ShopModule } from '../module.ts';
import { type Inventory, LocalInventory } from './inventory.ts';
import { InventoryOfOwner } from './owner/inventory-of-owner.ts';
import { StockErrands } from './owner/stock-errands.ts';
import { inventoryRoutes } from './routes.ts';

export type { Inventory } from './inventory.ts';

export function createInventoryModule(deps: ModuleDeps): ShopModule & { inventory: Inventory } {
  const local = new LocalInventory(deps);
  const { auth, models, stockOwner } = deps;
  if (stockOwner === undefined) {
    return { inventory: local, routes: inventoryRoutes({ auth, models, inventory: local }) };
  }
  const waitMs = deps.config.fenceWaitMs;
  const parts = { ...deps, ...stockOwner, local };
  const errands = new StockErrands(parts);
  const { owner } = stockOwner;
  // Once the stock is the service's, these routes are too: a stray is told to try again.
  const inventory: Pick<LocalInventory, 'find' | 'adjust'> = {
    find: (productId) => local.find(productId),
    adjust: (request) => withinFence(() => local.adjust(request), { owner, self: 'monolith', waitMs }),
  };
  return {
    inventory: new InventoryOfOwner({ ...parts, errands, waitMs }),
    routes: inventoryRoutes({ auth, models, inventory }),
    start: async () => errands.start(),
    stop: () => errands.stop(),
  };
}
