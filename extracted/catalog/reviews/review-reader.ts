import { entityTag } from '@strangler/platform/http/entity-tag.ts';
import { type Cursor, decodeCursor, listFingerprint, pageOf, pageParameters } from '@strangler/platform/http/paging.ts';
import { parseQuery } from '@strangler/platform/http/validate.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import type { Request } from 'express';
import type { Pool } from 'mysql2/promise';
import { z } from 'zod';
import type { ReadThrough } from '../cache/read-through.ts';
import { productScope } from '../cache/scope.ts';
import type { Representation } from '../http/representation.ts';
import { noSuchProduct } from '../products/product-service.ts';
import { type ReviewRow, reviewView, selectReviews } from './review-view.ts';

export type ReviewQuery = { limit: number; fingerprint: string; after: Cursor<string> | undefined };

export type ReviewReader = {
  /** A page of a product's reviews, newest first. Throws a 404 problem when there is no such product, or it is archived. */
  page(productId: number, query: ReviewQuery): Promise<Representation>;
};

const querySchema = z.strictObject(pageParameters);

/** Reads the query string of a product's list of reviews; throws a 400 problem naming each parameter that is wrong. */
export function reviewQuery(request: Request, productId: number): ReviewQuery {
  const query = parseQuery(querySchema, request);
  const fingerprint = listFingerprint({ list: 'reviews', product: productId });
  const key = z.iso.datetime({ precision: 3 });
  return {
    limit: query.limit,
    fingerprint,
    after: query.cursor === undefined ? undefined : decodeCursor(query.cursor, { fingerprint, key }),
  };
}

export function createReviewReader({ pool, cache }: { pool: Pool; cache: ReadThrough }): ReviewReader {
  const load = async (productId: number, query: ReviewQuery): Promise<Representation | undefined> => {
    const [product] = await select(pool, 'SELECT id FROM products WHERE id = ? AND archived_at IS NULL', [productId]);
    if (product === undefined) return undefined;
    const createdAt = query.after && new Date(query.after.key);
    const rows = await select<ReviewRow>(
      pool,
      `${selectReviews}
        WHERE r.product_id = ? ${query.after ? 'AND r.created_at <= ? AND (r.created_at < ? OR r.id < ?)' : ''}
        ORDER BY r.created_at DESC, r.id DESC LIMIT ?`,
      [productId, ...(query.after ? [createdAt, createdAt, query.after.id] : []), query.limit + 1],
    );
    const page = pageOf(rows, {
      limit: query.limit,
      fingerprint: query.fingerprint,
      cursorOf: (row) => ({ key: row.created_at.toISOString(), id: Number(row.id) }),
      toItem: reviewView,
    });
    const body = JSON.stringify(page);
    return { body, entityTag: entityTag(body) };
  };

  return {
    async page(productId, query) {
      const after = query.after === undefined ? '' : `${query.after.key}:${query.after.id}`;
      const found = await cache.read({
        kind: 'reviews',
        key: `${productId}:${query.limit}:${after}`,
        scope: productScope(productId),
        load: () => load(productId, query),
      });
      if (!found) throw noSuchProduct(productId);
      return found;
    },
  };
}
