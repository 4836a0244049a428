import { createAccountsModule } from './accounts/index.ts';
import { createCartModule } from './cart/index.ts';
import { createCatalogueModule } from './catalogue/index.ts';
import { createCheckoutModule } from './checkout/index.ts';
import { createInventoryModule } from './inventory/index.ts';
import type { ModuleDeps, ShopModule } from './module.ts';
import { createNotificationsModule } from './notifications/index.ts';
import { createOrdersModule } from './orders/index.ts';
import { createPaymentsModule } from './payments/index.ts';
import { createSettingsModule } from './settings/index.ts';

/** Every module of the shop, by name, in the order in which they are started. They are stopped in the reverse order. */
export function createModules(deps: ModuleDeps): Record<string, ShopModule> {
  const inventory = createInventoryModule(deps);
  const cart = createCartModule(deps, inventory);
  const notifications = createNotificationsModule(deps);
  const payments = createPaymentsModule(deps, notifications);
  const orders = createOrdersModule(deps, { ...inventory, ...payments, ...notifications });
  const checkout = createCheckoutModule(deps, { ...cart, ...inventory, ...orders, ...payments });
  return {
    accounts: createAccountsModule(deps),
    catalogue: createCatalogueModule(deps),
    settings: createSettingsModule(deps),
    inventory,
    cart,
    notifications,
    payments,
    orders,
    checkout,
  };
}
