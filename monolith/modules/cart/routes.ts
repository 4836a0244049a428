import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { idText, parseBody, parseParams } from '@strangler/platform/http/validate.ts';
import { type Request, Router } from 'express';
import { z } from 'zod';
import { type Auth, identityOf } from '../../auth/auth.ts';
import type { CartLine, LocalCarts } from './cart.ts';
import type { CartSales } from './cart-sales.ts';

const productParams = z.object({ productId: idText() });
const quantityBody = z.strictObject({ quantity: z.int().min(1).max(99) });

const ofAccount = { accountId: idText() };
const saleParams = z.object({ ...ofAccount, saleId: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/) });
const takeBody = z.strictObject({ version: z.string().min(1).max(64) });

export function cartRoutes({ auth, carts, sales }: { auth: Auth; carts: LocalCarts; sales: CartSales }): Router {
  const router = Router();

  router.get('/api/cart', auth.requireAccount(), async (req, res) => {
    res.json(cartJson(await carts.lines(identityOf(req).accountId)));
  });

  router.put('/api/cart/items/:productId', auth.requireAccount(), jsonBody(), async (req, res) => {
    const { accountId } = identityOf(req);
    const { productId } = parseParams(productParams, req);
    const { quantity } = parseBody(quantityBody, req);
    const outcome = await carts.put(accountId, productId, quantity);
    switch (outcome.kind) {
      case 'no_such_product':
        throw problems.notFound(`There is no product ${productId} to buy.`);
      case 'full':
        throw problems.conflict(`A cart holds at most ${outcome.mostLines} different products.`);
      case 'put':
        res.json(cartJson(await carts.lines(accountId)));
    }
  });

  router.delete('/api/cart/items/:productId', auth.requireAccount(), async (req, res) => {
    const { productId } = parseParams(productParams, req);
    await carts.remove(identityOf(req).accountId, { productId });
    res.status(204).end();
  });

  router.delete('/api/cart', auth.requireAccount(), async (req, res) => {
    await carts.remove(identityOf(req).accountId, 'all');
    res.status(204).end();
  });

  router.get('/internal/carts/:accountId', auth.requireAccount(), async (req, res) => {
    const { accountId } = parseParams(z.object(ofAccount), req);
    refuseOthers(req, accountId);
    const { version, lines } = await sales.read(accountId);
    const items = lines.map(({ productId: product_id, unitPriceCents: unit_price_cents, sold: is_sold, ...rest }) => {
      return {
        product_id,
        name: rest.name,
        unit_price_cents,
        currency: rest.currency,
        quantity: rest.quantity,
        is_sold,
      };
    });
    res.set('cache-control', 'no-store').json({ version, items });
  });

  router.put('/internal/carts/:accountId/sales/:saleId', auth.requireAccount(), jsonBody(), async (req, res) => {
    const { accountId, saleId } = parseParams(saleParams, req);
    refuseOthers(req, accountId);
    const { version } = parseBody(takeBody, req);
    if ((await sales.take(saleId, accountId, version)) === 'changed') {
      throw new Problem({
        status: 409,
        title: 'Cart has changed',
        detail: 'It is not what it was; nothing was taken out.',
      });
    }
    res.status(204).end();
  });

  router.delete('/internal/carts/:accountId/sales/:saleId', auth.requireAccount(), async (req, res) => {
    const { accountId, saleId } = parseParams(saleParams, req);
    refuseOthers(req, accountId);
    await sales.giveBack(saleId, accountId);
    res.status(204).end();
  });

  return router;
}

function refuseOthers(req: Request, accountId: number): void {
  const { accountId: self, role } = identityOf(req);
  if (role !== 'admin' && accountId !== self) throw problems.forbidden('This is the cart of another account.');
}

/** The total is that of the lines that could be bought now. */
function cartJson(lines: CartLine[]) {
  const buyable = lines.filter((line) => line.availability === 'available');
  const currencies = new Set(buyable.map((line) => line.currency));
  return {
    items: lines.map((line) => ({
      product_id: line.productId,
      name: line.name,
      unit_price_cents: line.unitPriceCents,
      currency: line.currency,
      quantity: line.quantity,
      line_total_cents: line.unitPriceCents * line.quantity,
      availability: line.availability,
    })),
    // A cart of several currencies has no total that means anything, and cannot be checked out.
    total_cents:
      currencies.size > 1 ? null : buyable.reduce((sum, line) => sum + line.unitPriceCents * line.quantity, 0),
    currency: currencies.size === 1 ? [...currencies][0] : null,
  };
}
