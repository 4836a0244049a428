import type { Auth } from '@strangler/platform/auth/auth.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { idText, parseParams } from '@strangler/platform/http/validate.ts';
import type { Router } from 'express';
import { z } from 'zod';
import type { Cancellation, Cancellations } from './cancellation-store.ts';

/** The most of one answer: the oldest, which are those to look after. */
const MOST_SHOWN = 100;

export type CancellationRouteParts = { auth: Auth; cancellations: Cancellations };

/** For administrators: what was heard of orders whose cancellation nobody directs. */
export function addCancellationRoutes(routes: Router, { auth, cancellations }: CancellationRouteParts): void {
  const admin = auth.requireRole('admin');

  routes.get('/internal/cancellations', admin, async (_req, res) => {
    const items = (await cancellations.open(MOST_SHOWN)).map(shown);
    res.set('cache-control', 'no-store').json({ items });
  });

  routes.get('/internal/cancellations/:orderId', admin, async (req, res) => {
    const { orderId } = parseParams(z.object({ orderId: idText() }), req);
    const known = await cancellations.read(orderId);
    if (known === undefined) throw problems.notFound(`No cancellation of order ${orderId} was left to others.`);
    res.set('cache-control', 'no-store').json(shown(known));
  });
}

function shown({ orderId, stock, payment, toldAt, heardAt, endedAt }: Cancellation) {
  return {
    ...{ order_id: orderId, stock, payment },
    told_at: toldAt.toISOString(),
    heard_at: heardAt?.toISOString() ?? null,
    ended_at: endedAt?.toISOString() ?? null,
  };
}
