import type { Inventory } from '../inventory/inventory.ts';
import type { ModuleDeps, ShopModule } from '../module.ts';
import type { Notifications } from '../notifications/notifications.ts';
import type { Payments } from '../payments/payments.ts';
import { OrderReader } from './order-reader.ts';
import { LocalOrders } from './orders.ts';
import { orderRoutes } from './routes.ts';

export type { Orders } from './orders.ts';

export function createOrdersModule(
  deps: ModuleDeps,
  parts: { inventory: Inventory; payments: Payments; notifications: Notifications },
): ShopModule & { orders: LocalOrders; reader: OrderReader } {
  const orders = new LocalOrders({ ...deps, ...parts });
  const reader = new OrderReader({ ...deps, payments: parts.payments });
  parts.payments.tellOrders(orders);
  return { orders, reader, routes: orderRoutes({ auth: deps.auth, orders, reader }) };
}
