import { type RepeatedJob, repeat } from '@strangler/platform/repeated-job.ts';
import type { Carts } from '../cart/cart.ts';
import type { Inventory } from '../inventory/inventory.ts';
import type { ModuleDeps, ShopModule } from '../module.ts';
import type { OrdersOfOwner } from '../orders/index.ts';
import type { OrderReader } from '../orders/order-reader.ts';
import type { Payments } from '../payments/payments.ts';
import { AnswerOnce, type AnswerOnceTimings, defaultAnswerOnceTimings } from './answer-once.ts';
import { Checkout } from './checkout.ts';
import { checkoutRoutes } from './routes.ts';

export function createCheckoutModule(
  deps: ModuleDeps,
  parts: { carts: Carts; inventory: Inventory; orders: OrdersOfOwner; payments: Payments; reader: OrderReader },
  timings: AnswerOnceTimings = defaultAnswerOnceTimings,
): ShopModule {
  const { orders } = parts;
  const answerOnce = new AnswerOnce({ ...deps, timings, orders });
  const checkout = new Checkout({ ...deps, ...parts, answerOnce });
  let forgetting: RepeatedJob | undefined;
  return {
    routes: checkoutRoutes({ ...deps, checkout, answerOnce, reader: parts.reader }),
    start: async () => {
      forgetting = repeat('forgetting old idempotency keys', 60_000, deps.log, async () => {
        if (orders.areHere()) await answerOnce.forgetOld();
      });
    },
    stop: async () => {
      await forgetting?.stop();
    },
  };
}
