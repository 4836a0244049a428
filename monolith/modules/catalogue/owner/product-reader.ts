import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import type { Transaction } from 'sequelize';
import { z } from 'zod';
import type { MachineToken } from '../../../auth/machine-token.ts';
import type { CatalogueModels } from '../models.ts';
import { type CatalogueClient, textOf } from './catalogue-client.ts';

/** What the rest of the shop needs to know of a product. */
export type SoldProduct = {
  id: number;
  sku: string;
  name: string;
  priceCents: number;
  currency: string;
  active: boolean;
  /** Deleted: nothing shows or sells it, and orders refer to it still. */
  archived: boolean;
  category: { id: number; name: string; slug: string } | null;
};

/** Products as carts, checkout, orders and inventory read them. */
export type ProductReader = {
  /**
   * The products of these ids, archived ones included, as they are now; what there is not is left out. `transaction`: read
   * in it, where the products are in the shop's own tables.
   */
  byIds(ids: readonly number[], transaction?: Transaction): Promise<ReadonlyMap<number, SoldProduct>>;
};

/** From the shop's own tables, in one statement. */
export function localProductReader({
  Product,
  Category,
}: Pick<CatalogueModels, 'Product' | 'Category'>): ProductReader {
  return {
    async byIds(ids, transaction) {
      if (ids.length === 0) return new Map();
      const rows = await Product.findAll({
        where: { id: [...new Set(ids)] },
        attributes: ['id', 'sku', 'name', 'price_cents', 'currency', 'active', 'archived_at'],
        include: [{ model: Category, as: 'category', attributes: ['id', 'name', 'slug'] }],
        transaction: transaction ?? null,
      });
      return mapOf(
        rows.map(({ id, sku, name, price_cents, currency, active, archived_at, category }) => ({
          ...{ id: Number(id), sku, name, priceCents: price_cents, currency },
          active: Boolean(active),
          archived: archived_at !== null,
          category: category ? { id: Number(category.id), name: category.name, slug: category.slug } : null,
        })),
      );
    },
  };
}

const answer = z.object({
  items: z.array(
    z.object({
      id: z.int(),
      sku: z.string(),
      name: z.string(),
      price_cents: z.int(),
      currency: z.string(),
      active: z.boolean(),
      archived: z.boolean(),
      category: z.object({ id: z.int(), name: z.string(), slug: z.string() }),
    }),
  ),
});

/** Ids of one request; the service takes no more. */
const MOST_IDS = 200;

/** From the catalogue service, past its cache: prices are as they are now. Throws a 503 problem where it is away. */
export function remoteProductReader({
  client,
  machineToken,
}: {
  client: CatalogueClient;
  machineToken: MachineToken;
}): ProductReader {
  const ask = async (ids: readonly number[]): Promise<SoldProduct[]> => {
    const headers = { authorization: await machineToken() };
    const text = textOf(await client.send({ method: 'GET', path: `/internal/products?ids=${ids.join(',')}`, headers }));
    return answer
      .parse(JSON.parse(text))
      .items.map(({ price_cents: priceCents, ...rest }) => ({ ...rest, priceCents }));
  };
  return {
    async byIds(ids) {
      const wanted = [...new Set(ids)];
      const products: SoldProduct[] = [];
      for (let from = 0; from < wanted.length; from += MOST_IDS) {
        products.push(...(await ask(wanted.slice(from, from + MOST_IDS))));
      }
      return mapOf(products);
    },
  };
}

/** Local as long as the shop's tables are kept in step, which is until the slice is complete. */
export function productReaderOfStage(
  owner: OwnerFollower | undefined,
  { local, remote }: { local: ProductReader; remote: ProductReader },
): ProductReader {
  return {
    byIds: (...args) => (owner?.now()?.stage === 'complete' ? remote : local).byIds(...args),
  };
}

function mapOf(products: SoldProduct[]): ReadonlyMap<number, SoldProduct> {
  return new Map(products.map((product) => [product.id, product]));
}
