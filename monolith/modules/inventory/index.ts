import { withinFence } from '@strangler/platform/ownership/within-fence.ts';
import { refuseOnceComplete } from '../../moved-away.ts';
import { shopFence } from '../../shop-fence.ts';
import type { ModuleDeps, ShopModule } from '../module.ts';
import { type Inventory, LocalInventory } from './inventory.ts';
import { InventoryOfOwner } from './owner/inventory-of-owner.ts';
import { StockErrands } from './owner/stock-errands.ts';
import { localStockReader, remoteStockReader, type StockReader, stockReaderOfStage } from './owner/stock-reader.ts';
import { inventoryRoutes } from './routes.ts';

export type { Inventory } from './inventory.ts';

export type InventoryModule = ShopModule & { inventory: Inventory; stock: StockReader };

export function createInventoryModule(deps: ModuleDeps): InventoryModule {
  const local = new LocalInventory(deps);
  const { auth, models, stockOwner } = deps;
  const stock = localStockReader(models);
  if (stockOwner === undefined) {
    return { inventory: local, stock, routes: inventoryRoutes({ auth, models, inventory: local }) };
  }
  const waitMs = deps.config.fenceWaitMs;
  const parts = { ...deps, ...stockOwner, local };
  const errands = new StockErrands(parts);
  const { owner } = stockOwner;
  const fence = shopFence(deps.sequelize, owner.slice);
  // Once the stock is the service's, these routes are too: a stray is told to try again. In the end there are no tables to read.
  const inventory: Pick<LocalInventory, 'find' | 'adjust'> = {
    find: async (productId) => {
      refuseOnceComplete(owner, { what: 'The stock is', service: 'inventory' });
      return local.find(productId);
    },
    adjust: (request) => withinFence(() => local.adjust(request), { owner, self: 'monolith', fence, waitMs }),
  };
  return {
    inventory: new InventoryOfOwner({ ...parts, fence, errands, waitMs }),
    stock: stockReaderOfStage(owner, { local: stock, remote: remoteStockReader(parts) }),
    routes: inventoryRoutes({ auth, models, inventory }),
    start: async () => errands.start(),
    stop: () => errands.stop(),
  };
}
