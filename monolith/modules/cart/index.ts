import type { StockReader } from '../inventory/owner/stock-reader.ts';
import type { ModuleDeps, ShopModule } from '../module.ts';
import { LocalCarts } from './cart.ts';
import { CartSales } from './cart-sales.ts';
import { cartRoutes } from './routes.ts';

export type { Carts } from './cart.ts';

export function createCartModule(
  deps: ModuleDeps,
  { stock }: { stock: StockReader },
): ShopModule & { carts: LocalCarts } {
  const carts = new LocalCarts({ ...deps, stock });
  return { carts, routes: cartRoutes({ auth: deps.auth, carts, sales: new CartSales({ ...deps, carts }) }) };
}
