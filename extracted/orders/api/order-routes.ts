import { type Auth, identityOf } from '@strangler/platform/auth/auth.ts';
import { idParams } from '@strangler/platform/http/id.ts';
import { decodeCursor, listFingerprint, pageOf, pageParameters } from '@strangler/platform/http/paging.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { idText, parseParams, parseQuery } from '@strangler/platform/http/validate.ts';
import type { Request, Router } from 'express';
import { z } from 'zod';
import type { OrderDesk } from '../order/order-desk.ts';
import { orderStatuses } from '../order/order-event.ts';
import { type OrderReader, orderDetailJson, orderSummaryJson } from './order-reader.ts';

const listQuery = z.strictObject({
  ...pageParameters,
  status: z.enum(orderStatuses).optional(),
  account_id: idText().optional(),
});

export type OrderRouteParts = { auth: Auth; reader: OrderReader; desk: OrderDesk };

/** The shop's contract, to the letter. */
export function addOrderRoutes(routes: Router, { auth, reader, desk }: OrderRouteParts): void {
  const showOrder = async (req: Request) => {
    const { id } = parseParams(idParams, req);
    const order = await reader.find(id, ownOrAny(req));
    if (!order) throw noSuchOrder(id);
    return orderDetailJson(order);
  };

  routes.get('/api/orders', auth.requireAccount(), async (req, res) => {
    const { limit, cursor, status, account_id } = parseQuery(listQuery, req);
    const { accountId: self, role } = identityOf(req);
    if (role !== 'admin' && account_id !== undefined && account_id !== self) {
      throw problems.forbidden('Only an administrator may list the orders of other accounts.');
    }
    const accountId = role === 'admin' ? account_id : self;
    const fingerprint = listFingerprint({ list: 'orders', accountId, status });
    const before = cursor === undefined ? undefined : decodeCursor(cursor, { fingerprint, key: z.int().min(1) });
    const rows = await reader.list({ accountId, status }, { limit: limit + 1, beforeId: before?.id });
    const cursorOf = ({ row }: (typeof rows)[number]) => ({ key: row.id, id: row.id });
    res.json(pageOf(rows, { limit, fingerprint, cursorOf, toItem: orderSummaryJson }));
  });

  routes.get('/api/orders/:id', auth.requireAccount(), async (req, res) => {
    res.json(await showOrder(req));
  });

  routes.post('/api/orders/:id/cancel', auth.requireAccount(), async (req, res) => {
    const { id } = parseParams(idParams, req);
    const { accountId } = identityOf(req);
    const { kind } = await desk.cancel(id, { accountId, ofAccount: ownOrAny(req) ?? null });
    if (kind === 'no_such_order') throw noSuchOrder(id);
    if (kind === 'shipped') {
      const detail = `Order ${id} was shipped and can no longer be cancelled.`;
      throw orderNotSo('Order was shipped', detail, { order_id: id, order_status: 'shipped' });
    }
    res.json(await showOrder(req));
  });

  routes.post('/api/orders/:id/ship', auth.requireRole('admin'), async (req, res) => {
    const { id } = parseParams(idParams, req);
    const outcome = await desk.ship(id);
    if (outcome.kind === 'no_such_order') throw noSuchOrder(id);
    if (outcome.kind === 'not_paid') {
      const detail = `Order ${id} is ${outcome.status}; only a paid order can be shipped.`;
      throw orderNotSo('Order is not paid', detail, { order_id: id, order_status: outcome.status });
    }
    res.json(await showOrder(req));
  });
}

/** The account whose orders the request may touch; undefined for an administrator, who may touch all. */
function ownOrAny(req: Request): number | undefined {
  const { accountId, role } = identityOf(req);
  return role === 'admin' ? undefined : accountId;
}

function noSuchOrder(id: number): Problem {
  return problems.notFound(`There is no order ${id}.`);
}

function orderNotSo(title: string, detail: string, extensions: Record<string, unknown>): Problem {
  return new Problem({ status: 409, title, detail, extensions });
}
