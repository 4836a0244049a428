import { refuseOnceComplete } from '../../moved-away.ts';
import { shopFence } from '../../shop-fence.ts';
import type { Inventory } from '../inventory/inventory.ts';
import type { ModuleDeps, ShopModule } from '../module.ts';
import type { Notifications } from '../notifications/notifications.ts';
import type { Payments } from '../payments/payments.ts';
import { OrderReader } from './order-reader.ts';
import { LocalOrders } from './orders.ts';
import { OrdersOfOwner } from './owner/orders-of-owner.ts';
import { orderRoutes } from './routes.ts';

export type { Orders } from './orders.ts';
export type { OrdersOfOwner } from './owner/orders-of-owner.ts';

export function createOrdersModule(
  deps: ModuleDeps,
  parts: { inventory: Inventory; payments: Payments; notifications: Notifications },
): ShopModule & { orders: OrdersOfOwner; reader: OrderReader } {
  const { orderOwner: owner, config } = deps;
  const local = new LocalOrders({ ...deps, ...parts });
  const fence = shopFence(deps.sequelize, owner?.slice ?? 'orders');
  const orders = new OrdersOfOwner({ local, owner, fence, waitMs: config.fenceWaitMs });
  const refuseMoved = () => refuseOnceComplete(owner, { what: 'The orders are', service: 'orders' });
  const reader = new OrderReader({ ...deps, payments: parts.payments, refuseMoved });
  parts.payments.tellOrders(orders);
  return { orders, reader, routes: orderRoutes({ auth: deps.auth, orders, reader }) };
}
