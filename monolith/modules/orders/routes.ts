import { idParams } from '@strangler/platform/http/id.ts';
import { decodeCursor, listFingerprint, pageOf, pageParameters } from '@strangler/platform/http/paging.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { idText, parseParams, parseQuery } from '@strangler/platform/http/validate.ts';
import { type Request, Router } from 'express';
import { z } from 'zod';
import { type Auth, identityOf } from '../../auth/auth.ts';
import { orderStatuses } from './models.ts';
import { type OrderReader, orderDetailJson, orderSummaryJson } from './order-reader.ts';
import type { OrdersOfOwner } from './owner/orders-of-owner.ts';

const listQuery = z.strictObject({
  ...pageParameters,
  status: z.enum(orderStatuses).optional(),
  account_id: idText().optional(),
});

export function orderRoutes({
  auth,
  orders,
  reader,
}: {
  auth: Auth;
  orders: Pick<OrdersOfOwner, 'cancel' | 'ship'>;
  reader: OrderReader;
}): Router {
  const router = Router();

  router.get('/api/orders', auth.requireAccount(), async (req, res) => {
    const { limit, cursor, status, account_id } = parseQuery(listQuery, req);
    const { accountId: self, role } = identityOf(req);
    if (role !== 'admin' && account_id !== undefined && account_id !== self) {
      throw problems.forbidden('Only an administrator may list the orders of other accounts.');
    }
    const accountId = role === 'admin' ? account_id : self;
    const fingerprint = listFingerprint({ list: 'orders', accountId, status });
    const before = cursor === undefined ? undefined : decodeCursor(cursor, { fingerprint, key: z.int().min(1) });
    const rows = await reader.list({ accountId, status }, { limit: limit + 1, beforeId: before?.id });
    res.json(
      pageOf(rows, {
        limit,
        fingerprint,
        cursorOf: ({ order: { id } }) => ({ key: id, id }),
        toItem: orderSummaryJson,
      }),
    );
  });

  const showOrder = async (req: Request) => {
    const { id } = parseParams(idParams, req);
    const order = await reader.find(id, ownOrAny(req));
    if (!order) throw noSuchOrder(id);
    return orderDetailJson(order);
  };

  router.get('/api/orders/:id', auth.requireAccount(), async (req, res) => {
    res.json(await showOrder(req));
  });

  router.post('/api/orders/:id/cancel', auth.requireAccount(), async (req, res) => {
    const { id } = parseParams(idParams, req);
    const outcome = await orders.cancel(id, ownOrAny(req) ?? null);
    switch (outcome.kind) {
      case 'no_such_order':
        throw noSuchOrder(id);
      case 'shipped':
        throw new Problem({
          status: 409,
          title: 'Order was shipped',
          detail: `Order ${id} was shipped and can no longer be cancelled.`,
          extensions: { order_id: id, order_status: 'shipped' },
        });
      case 'cancelled':
      case 'cancelled_before':
        res.json(await showOrder(req));
    }
  });

  router.post('/api/orders/:id/ship', auth.requireRole('admin'), async (req, res) => {
    const { id } = parseParams(idParams, req);
    const outcome = await orders.ship(id);
    switch (outcome.kind) {
      case 'no_such_order':
        throw noSuchOrder(id);
      case 'not_paid':
        throw new Problem({
          status: 409,
          title: 'Order is not paid',
          detail: `Order ${id} is ${outcome.status}; only a paid order can be shipped.`,
          extensions: { order_id: id, order_status: outcome.status },
        });
      case 'shipped':
      case 'shipped_before':
        res.json(await showOrder(req));
    }
  });

  return router;
}

/** The account whose orders the request may touch; undefined for an administrator, who may touch all. */
function ownOrAny(req: Request): number | undefined {
  const { accountId, role } = identityOf(req);
  return role === 'admin' ? undefined : accountId;
}

function noSuchOrder(id: number): Problem {
  return problems.notFound(`There is no order ${id}.`);
}
