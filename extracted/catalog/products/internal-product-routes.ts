import type { Auth } from '@strangler/platform/auth/auth.ts';
import { parseQuery } from '@strangler/platform/http/validate.ts';
import type { RequestHandler, Router } from 'express';
import { z } from 'zod';
import type { ProductReader } from './product-reader.ts';

/** The most ids of one request. */
const MOST_IDS = 200;

const query = z.strictObject({
  ids: z
    .string()
    .regex(/^[1-9]\d{0,14}(,[1-9]\d{0,14})*$/, 'must be ids joined by commas')
    .transform((text) => text.split(',').map(Number))
    .refine((ids) => ids.length <= MOST_IDS, `must be at most ${MOST_IDS} ids`),
});

/** For the shop itself, with an admin's token: products as they are now, past the cache, archived ones included. */
export function addInternalProductRoutes(
  routes: Router,
  { auth, admit, reader }: { auth: Auth; admit: RequestHandler; reader: ProductReader },
): void {
  routes.get('/internal/products', admit, auth.requireRole('admin'), async (request, response) => {
    const rows = await reader.anyRows(parseQuery(query, request).ids);
    const items = rows.map((row) => ({
      ...{ id: Number(row.id), sku: row.sku, name: row.name, price_cents: row.price_cents, currency: row.currency },
      active: Boolean(row.active),
      archived: row.archived_at !== null,
      category: { id: Number(row.category_id), name: row.category_name, slug: row.category_slug },
    }));
    response.set('cache-control', 'no-store').json({ items });
  });
}
