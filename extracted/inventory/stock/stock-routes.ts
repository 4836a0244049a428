import { type Auth, identityOf } from '@strangler/platform/auth/auth.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { decodeCursor, listFingerprint, pageOf, pageParameters } from '@strangler/platform/http/paging.ts';
import { lineOfText } from '@strangler/platform/http/text.ts';
import { idText, parseBody, parseParams, parseQuery } from '@strangler/platform/http/validate.ts';
import type { Router } from 'express';
import { z } from 'zod';
import { sendRepresentation } from '../http/representation.ts';
import { type AdjustmentRow, type Adjustments, noSuchProduct } from './adjustments.ts';
import type { StockReader } from './stock-reader.ts';
import { stockJson, stockRepresentation } from './stock-view.ts';

const productParams = z.object({ productId: idText() });
const adjustmentBody = z.strictObject({
  delta: z
    .int()
    .min(-1_000_000)
    .max(1_000_000)
    .refine((delta) => delta !== 0, 'expected a whole number other than 0'),
  reason: lineOfText({ min: 1, max: 200 }),
});
const listQuery = z.strictObject(pageParameters);

export function addStockRoutes(
  routes: Router,
  { auth, reader, adjustments }: { auth: Auth; reader: StockReader; adjustments: Adjustments },
): void {
  const admin = auth.requireRole('admin');

  routes.get('/api/inventory/:productId', async (request, response) => {
    const { productId } = parseParams(productParams, request);
    const stock = await reader.find(productId);
    if (stock === undefined) throw noSuchProduct(productId);
    sendRepresentation(request, response, stockRepresentation(stock));
  });

  routes.post('/api/inventory/:productId/adjustments', admin, jsonBody(), async (request, response) => {
    const { productId } = parseParams(productParams, request);
    const { delta, reason } = parseBody(adjustmentBody, request);
    const { accountId } = identityOf(request);
    const ifMatch = request.get('if-match');
    const { adjustment, stock } = await adjustments.adjust({ productId, delta, reason, accountId, ifMatch });
    response
      .status(201)
      .set('etag', stockRepresentation(stock).entityTag)
      .json({ adjustment: adjustmentJson(adjustment), stock: stockJson(stock) });
  });

  routes.get('/api/inventory/:productId/adjustments', admin, async (request, response) => {
    const { productId } = parseParams(productParams, request);
    const { limit, cursor } = parseQuery(listQuery, request);
    const fingerprint = listFingerprint({ list: 'adjustments', productId });
    const before = cursor === undefined ? undefined : decodeCursor(cursor, { fingerprint, key: z.int().min(1) });
    if ((await reader.find(productId)) === undefined) throw noSuchProduct(productId);
    const rows = await adjustments.list(productId, { before: before?.id, limit: limit + 1 });
    const cursorOf = ({ id }: AdjustmentRow) => ({ key: Number(id), id: Number(id) });
    response.json(pageOf(rows, { limit, fingerprint, cursorOf, toItem: adjustmentJson }));
  });
}

function adjustmentJson(row: AdjustmentRow) {
  return {
    id: Number(row.id),
    product_id: Number(row.product_id),
    delta: row.delta,
    reason: row.reason,
    account_id: row.account_id === null ? null : Number(row.account_id),
    order_id: row.order_id === null ? null : Number(row.order_id),
    created_at: row.created_at.toISOString(),
  };
}
