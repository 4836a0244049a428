import type { ModuleDeps, ShopModule } from '../module.ts';
import { LocalCarts } from './cart.ts';
import { CartSales } from './cart-sales.ts';
import { cartRoutes } from './routes.ts';

export type { Carts } from './cart.ts';

export function createCartModule(deps: ModuleDeps): ShopModule & { carts: LocalCarts } {
  const carts = new LocalCarts(deps);
  return { carts, routes: cartRoutes({ auth: deps.auth, carts, sales: new CartSales({ ...deps, carts }) }) };
}
