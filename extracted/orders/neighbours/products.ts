import type { HttpInstances } from '@strangler/platform/http/instances.ts';
import { tracedFetch } from '@strangler/platform/http/traced-fetch.ts';
import type { Log } from '@strangler/platform/log.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import { z } from 'zod';
import type { ServiceToken } from './service-token.ts';

/** A product as it is today, as an order's line shows it. */
export type TodaysProduct = {
  sku: string;
  name: string;
  price_cents: number;
  currency: string;
  on_sale: boolean;
  category: { id: number; name: string; slug: string } | null;
};

export type Products = { byIds(ids: readonly number[]): Promise<ReadonlyMap<number, TodaysProduct>> };

type Row = Omit<TodaysProduct, 'category' | 'on_sale'> & {
  id: number;
  active: number;
  archived_at: Date | null;
  category_id: number | null;
  category_name: string;
  slug: string;
};

/** From the copies that the pipe keeps in step, for as long as the shop's tables are. */
export function copiedProducts(pool: Pool): Products {
  return {
    async byIds(ids) {
      if (ids.length === 0) return new Map();
      const rows = await select<Row>(
        pool,
        `SELECT p.id, p.sku, p.name, p.price_cents, p.currency, p.active, p.archived_at,
            c.id AS category_id, c.name AS category_name, c.slug
           FROM products p LEFT JOIN categories c ON c.id = p.category_id WHERE p.id IN (?)`,
        [ids],
      );
      return new Map(
        rows.map(({ id, sku, name, price_cents, currency, active, archived_at, category_id, category_name, slug }) => {
          const category = category_id === null ? null : { id: category_id, name: category_name, slug };
          const on_sale = Boolean(active) && archived_at === null;
          return [id, { sku, name, price_cents, currency, on_sale, category }];
        }),
      );
    },
  };
}

const TIMEOUT_MS = 2_000;
/** The catalogue takes no more at once. */
const MOST_IDS = 200;

const answer = z.object({
  items: z.array(
    z.object({
      ...{ id: z.int(), sku: z.string(), name: z.string(), price_cents: z.int(), currency: z.string() },
      ...{ active: z.boolean(), archived: z.boolean() },
      category: z.object({ id: z.int(), name: z.string(), slug: z.string() }),
    }),
  ),
});

/**
 * From the copies for as long as they are kept in step; then from the catalogue service, and from what is left of the copies
 * where that is away: an order is shown all the same.
 */
export function cataloguedProducts({
  instances,
  areCopied,
  serviceToken,
  trustHeaders,
  otherwise,
  log,
}: {
  instances: Pick<HttpInstances, 'inTurn'>;
  /** Whether the copies are kept in step still. */
  areCopied: () => boolean;
  serviceToken: ServiceToken;
  /** Say which service calls. */
  trustHeaders: () => Promise<Record<string, string>>;
  otherwise: Products;
  log: Log;
}): Products {
  const ask = async (ids: readonly number[]) => {
    const [origin] = await instances.inTurn();
    if (origin === undefined) throw new Error('expected an instance of the catalogue service, found none');
    const found = await tracedFetch(
      { peer: 'catalog', route: '/internal/products' },
      new URL(`/internal/products?ids=${ids.join(',')}`, origin),
      {
        headers: { authorization: await serviceToken(), accept: 'application/json', ...(await trustHeaders()) },
        signal: AbortSignal.timeout(TIMEOUT_MS),
        redirect: 'error',
      },
    );
    if (found.ok) return answer.parse(await found.json()).items;
    await found.body?.cancel();
    throw new Error(`GET /internal/products: expected 200, found ${found.status}`);
  };
  return {
    async byIds(ids) {
      if (areCopied()) return otherwise.byIds(ids);
      try {
        const products = new Map<number, TodaysProduct>();
        for (let from = 0; from < ids.length; from += MOST_IDS) {
          for (const { id, active, archived, ...rest } of await ask(ids.slice(from, from + MOST_IDS))) {
            products.set(id, { ...rest, on_sale: active && !archived });
          }
        }
        return products;
      } catch (error) {
        log.warn({ err: error }, 'the catalogue does not tell of products; the copies do');
        return otherwise.byIds(ids);
      }
    },
  };
}
