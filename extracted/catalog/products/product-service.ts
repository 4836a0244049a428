import type { CacheInvalidation } from '@strangler/platform/cache/invalidation.ts';
import { ifMatchMatches } from '@strangler/platform/http/entity-tag.ts';
import { invalid } from '@strangler/platform/http/invalid.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { change, type Executor, isDuplicate, select } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { listsScope, productScope } from '../cache/scope.ts';
import type { Clock } from '../clock.ts';
import type { ProductTold } from '../events/catalog-events.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import type { Fenced } from '../fenced.ts';
import type { Representation } from '../http/representation.ts';
import {
  MAX_ATTRIBUTES,
  type ProductAttributes,
  type ProductFields,
  type ProductPatch,
  patchAttributes,
} from './product-fields.ts';
import { attributesOf, productRepresentation } from './product-representation.ts';
import { type ProductRow, productColumns } from './product-row.ts';

/** Changes products. Every method returns after the cache has been told. */
export type ProductService = {
  create(fields: ProductFields): Promise<Representation & { id: number }>;
  /**
   * These throw a 404 problem when there is no such product, or it is archived, and a 412 problem when `ifMatch` does not
   * name the current representation.
   */
  replace(id: number, ifMatch: string, fields: ProductFields): Promise<Representation>;
  patch(id: number, ifMatch: string, patch: ProductPatch): Promise<Representation>;
  archive(id: number, ifMatch: string): Promise<void>;
};

/** Columns to be written; attributes as an object. */
type Changes = Partial<Omit<ProductFields, 'attributes'>> & { attributes?: ProductAttributes; archived_at?: Date };

export function createProductService({
  pool,
  invalidation,
  fenced,
  events,
  clock,
}: {
  pool: Pool;
  invalidation: CacheInvalidation;
  fenced: Fenced;
  events: EventRecorder;
  clock: Clock;
}): ProductService {
  /** Writes what `changesOf` makes of the row, if it is still the row that the client has seen. */
  const update = (id: number, ifMatch: string, changesOf: (row: ProductRow) => Changes): Promise<ProductRow> =>
    fenced(() =>
      invalidation.around([productScope(id), listsScope], () =>
        withTransaction(pool, 'READ COMMITTED', async (connection) => {
          // `*` says "whatever it is now": the row is locked first, so that no other write can come between.
          if (ifMatch.trim() === '*') await select(connection, 'SELECT id FROM products WHERE id = ? FOR UPDATE', [id]);
          const row = await loadProduct(connection, id);
          if (!ifMatchMatches(ifMatch, productRepresentation(row).entityTag)) throw stale(id);
          const changes = changesOf(row);
          const moved = changes.category_id !== undefined && changes.category_id !== Number(row.category_id);
          if (moved) await requireCategory(connection, changes.category_id as number);
          const now = clock.now();
          const columns = { ...changes, version: row.version + 1, updated_at: now };
          const assigned = Object.entries(columns).filter(([, value]) => value !== undefined);
          const { found } = await change(
            connection,
            `UPDATE products SET ${assigned.map(([column]) => `${column} = ?`).join(', ')} WHERE id = ? AND version = ?`,
            [
              ...assigned.map(([column, value]) => (column === 'attributes' ? JSON.stringify(value) : value)),
              id,
              row.version,
            ],
          ).catch(explainDuplicate(changes.sku));
          if (found === 0) throw stale(id);
          if (changes.archived_at) {
            const told = { product_id: id, version: row.version + 1, occurred_at: now.toISOString() };
            await events.record('product.removed', told, connection);
            return row;
          }
          const changed = await loadProduct(connection, id);
          await events.record('product.changed', toldOf(changed), connection);
          return changed;
        }),
      ),
    );

  return {
    async create(fields) {
      const insert = () =>
        withTransaction(pool, 'READ COMMITTED', async (connection) => {
          await requireCategory(connection, fields.category_id);
          const now = clock.now();
          const columns = {
            ...fields,
            attributes: JSON.stringify(fields.attributes),
            created_at: now,
            updated_at: now,
          };
          const names = Object.keys(columns);
          const { id } = await change(
            connection,
            `INSERT INTO products (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`,
            Object.values(columns),
          ).catch(explainDuplicate(fields.sku));
          const made = await loadProduct(connection, id);
          await events.record('product.created', toldOf(made), connection);
          return made;
        });
      // Somebody may have been told that there is no product of the id that this one gets.
      const row = await fenced(() =>
        invalidation.around([listsScope], insert, (made) => [productScope(Number(made.id))]),
      );
      return { ...productRepresentation(row), id: Number(row.id) };
    },

    async replace(id, ifMatch, fields) {
      return productRepresentation(await update(id, ifMatch, () => fields));
    },

    async patch(id, ifMatch, { attributes, ...fields }) {
      const row = await update(id, ifMatch, (current) => {
        if (!attributes) return fields;
        const patched = patchAttributes(attributesOf(current.attributes), attributes);
        if (Object.keys(patched).length > MAX_ATTRIBUTES) {
          throw invalid('body', 'attributes', `must have at most ${MAX_ATTRIBUTES} entries`);
        }
        return { ...fields, attributes: patched };
      });
      return productRepresentation(row);
    },

    async archive(id, ifMatch) {
      await update(id, ifMatch, () => ({ active: false, archived_at: clock.now() }));
    },
  };
}

/** What events tell of a product that was just written. */
function toldOf(row: ProductRow): ProductTold {
  return {
    product_id: Number(row.id),
    version: row.version,
    sku: row.sku,
    name: row.name,
    category_id: Number(row.category_id),
    price_cents: row.price_cents,
    currency: row.currency,
    active: Boolean(row.active),
    occurred_at: row.updated_at.toISOString(),
  };
}

async function loadProduct(executor: Executor, id: number): Promise<ProductRow> {
  const sql = `SELECT ${productColumns} FROM products WHERE id = ? AND archived_at IS NULL`;
  const [row] = await select<ProductRow>(executor, sql, [id]);
  if (!row) throw noSuchProduct(id);
  return row;
}

/** Throws a 400 problem when there is no such category; one that there is cannot be deleted until the transaction ends. */
async function requireCategory(executor: Executor, id: number): Promise<void> {
  const [category] = await select(executor, 'SELECT id FROM categories WHERE id = ? LOCK IN SHARE MODE', [id]);
  if (!category) throw invalid('body', 'category_id', 'names no category');
}

export function noSuchProduct(id: number) {
  return problems.notFound(`There is no product ${id}`);
}

function stale(id: number) {
  return problems.preconditionFailed(`Product ${id} has changed since the ETag in If-Match; read it again and repeat`);
}

function explainDuplicate(sku: string | undefined) {
  return (error: unknown): never => {
    if (isDuplicate(error)) throw problems.conflict(`There is already a product with the SKU ${sku}`);
    throw error;
  };
}
