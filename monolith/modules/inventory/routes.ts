import { entityTag, ifMatchMatches } from '@strangler/platform/http/entity-tag.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { decodeCursor, listFingerprint, pageOf, pageParameters } from '@strangler/platform/http/paging.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { lineOfText } from '@strangler/platform/http/text.ts';
import { idText, parseBody, parseParams, parseQuery } from '@strangler/platform/http/validate.ts';
import { Router } from 'express';
import { Op } from 'sequelize';
import { z } from 'zod';
import { type Auth, identityOf } from '../../auth/auth.ts';
import { type Representation, sendRepresentation } from '../../http/representation.ts';
import type { Models } from '../../models/index.ts';
import type { LocalInventory, StockView } from './inventory.ts';
import type { StockAdjustment } from './models.ts';

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

export function inventoryRoutes({
  auth,
  models,
  inventory,
}: {
  auth: Auth;
  models: Models;
  inventory: Pick<LocalInventory, 'find' | 'adjust'>;
}): Router {
  const router = Router();

  router.get('/api/inventory/:productId', async (req, res) => {
    const { productId } = parseParams(productParams, req);
    const stock = await inventory.find(productId);
    if (!stock) throw noSuchProduct(productId);
    sendRepresentation(req, res, stockRepresentation(stock));
  });

  router.post('/api/inventory/:productId/adjustments', auth.requireRole('admin'), jsonBody(), async (req, res) => {
    const { productId } = parseParams(productParams, req);
    const { delta, reason } = parseBody(adjustmentBody, req);
    const ifMatch = req.get('if-match');
    const outcome = await inventory.adjust({
      productId,
      delta,
      reason,
      accountId: identityOf(req).accountId,
      ...(ifMatch === undefined
        ? {}
        : { isExpected: (stock) => ifMatchMatches(ifMatch, stockRepresentation(stock).entityTag) }),
    });
    switch (outcome.kind) {
      case 'no_such_product':
        throw noSuchProduct(productId);
      case 'changed_meanwhile':
        throw problems.preconditionFailed(`The stock of product ${productId} has changed since it was read.`);
      case 'below_zero':
        throw new Problem({
          status: 409,
          title: 'Not enough stock',
          detail: `Product ${productId} has ${outcome.left} left; ${-delta} cannot be taken away.`,
          extensions: { product_id: productId, available: outcome.left },
        });
      case 'too_much':
        throw problems.conflict(`The stock of a product may not go above ${outcome.most}.`);
      case 'adjusted':
        res
          .status(201)
          .set('etag', stockRepresentation(outcome.stock).entityTag)
          .json({ adjustment: adjustmentJson(outcome.adjustment), stock: stockJson(outcome.stock) });
    }
  });

  router.get('/api/inventory/:productId/adjustments', auth.requireRole('admin'), async (req, res) => {
    const { productId } = parseParams(productParams, req);
    const { limit, cursor } = parseQuery(listQuery, req);
    const fingerprint = listFingerprint({ list: 'adjustments', productId });
    const before = cursor === undefined ? undefined : decodeCursor(cursor, { fingerprint, key: z.int().min(1) });
    if (!(await inventory.find(productId))) throw noSuchProduct(productId);
    const rows = await models.StockAdjustment.findAll({
      where: { product_id: productId, ...(before ? { id: { [Op.lt]: before.id } } : {}) },
      order: [['id', 'DESC']],
      limit: limit + 1,
    });
    res.json(
      pageOf(rows, { limit, fingerprint, cursorOf: (row) => ({ key: row.id, id: row.id }), toItem: adjustmentJson }),
    );
  });

  return router;
}

function noSuchProduct(productId: number): Problem {
  return problems.notFound(`There is no product ${productId}.`);
}

function stockJson(stock: StockView) {
  return {
    product_id: stock.productId,
    available: stock.available,
    version: stock.version,
    updated_at: stock.updatedAt?.toISOString() ?? null,
  };
}

function stockRepresentation(stock: StockView): Representation {
  const body = JSON.stringify(stockJson(stock));
  return { body, entityTag: entityTag(body, stock.version) };
}

function adjustmentJson(row: StockAdjustment) {
  return {
    id: row.id,
    product_id: row.product_id,
    delta: row.delta,
    reason: row.reason,
    account_id: row.account_id,
    order_id: row.order_id,
    created_at: row.created_at.toISOString(),
  };
}
