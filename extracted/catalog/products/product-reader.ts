import { entityTag } from '@strangler/platform/http/entity-tag.ts';
import { pageOf } from '@strangler/platform/http/paging.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import type { ReadThrough } from '../cache/read-through.ts';
import { listsScope, productScope } from '../cache/scope.ts';
import { idsBeneath } from '../categories/category-reader.ts';
import type { Representation } from '../http/representation.ts';
import { filterConditions, type ProductFilter, type ProductQuery, pageStatement, sortRules } from './product-list.ts';
import { productRepresentation, productView } from './product-representation.ts';
import { type ProductRow, productColumns } from './product-row.ts';
import { noSuchProduct } from './product-service.ts';

/** Reads products: what the API shows through the cache, rows from the database. */
export type ProductReader = {
  /** Throws a 404 problem when there is no such product, or it is archived. */
  get(id: number): Promise<Representation>;
  page(query: ProductQuery): Promise<Representation>;
  /** The rows of these ids that are not archived, in no particular order, by one statement. */
  rows(ids: readonly number[]): Promise<ProductRow[]>;
  /** As `rows`, archived ones included. */
  anyRows(ids: readonly number[]): Promise<ProductRow[]>;
  /** Listed products by id, in batches, each read when the one before has been taken. */
  batches(filter: ProductFilter & { category: string | undefined }, size: number): AsyncGenerator<ProductRow[]>;
};

export function createProductReader({ pool, cache }: { pool: Pool; cache: ReadThrough }): ProductReader {
  const loadOne = async (id: number): Promise<Representation | undefined> => {
    const sql = `SELECT ${productColumns} FROM products WHERE id = ? AND archived_at IS NULL`;
    const [row] = await select<ProductRow>(pool, sql, [id]);
    return row && productRepresentation(row);
  };

  const loadPage = async (query: ProductQuery): Promise<Representation> => {
    const categoryIds = query.category === undefined ? undefined : await idsBeneath(pool, query.category);
    const { sql, values } = pageStatement(query, categoryIds);
    const rows = categoryIds?.length === 0 ? [] : await select<ProductRow>(pool, sql, values);
    const page = pageOf(rows, {
      limit: query.limit,
      fingerprint: query.fingerprint,
      cursorOf: (row) => ({ key: sortRules[query.sort].keyOf(row), id: Number(row.id) }),
      toItem: productView,
    });
    const body = JSON.stringify(page);
    return { body, entityTag: entityTag(body) };
  };

  return {
    async get(id) {
      const found = await cache.read({
        kind: 'product',
        key: `${id}`,
        scope: productScope(id),
        load: () => loadOne(id),
      });
      if (!found) throw noSuchProduct(id);
      return found;
    },

    async page(query) {
      // The fingerprint stands for the filters and the sort.
      const after = query.after === undefined ? '' : `${JSON.stringify(query.after.key)}:${query.after.id}`;
      const key = `${query.fingerprint}:${query.limit}:${after}`;
      return (await cache.read({ kind: 'products', key, scope: listsScope, load: () => loadPage(query) }))!;
    },

    async rows(ids) {
      if (ids.length === 0) return [];
      const sql = `SELECT ${productColumns} FROM products WHERE id IN (?) AND archived_at IS NULL`;
      return select<ProductRow>(pool, sql, [ids]);
    },

    async anyRows(ids) {
      if (ids.length === 0) return [];
      return select<ProductRow>(pool, `SELECT ${productColumns} FROM products WHERE id IN (?)`, [ids]);
    },

    async *batches({ category, ...filter }, size) {
      const categoryIds = category === undefined ? undefined : await idsBeneath(pool, category);
      if (categoryIds?.length === 0) return;
      const conditions = filterConditions(filter, categoryIds);
      const where = conditions.map(({ sql }) => sql).join(' AND ');
      const values = conditions.flatMap((condition) => condition.values);
      for (let lastId = 0; ; ) {
        const sql = `SELECT ${productColumns} FROM products WHERE ${where} AND id > ? ORDER BY id LIMIT ?`;
        const rows = await select<ProductRow>(pool, sql, [...values, lastId, size]);
        if (rows.length > 0) yield rows;
        if (rows.length < size) return;
        lastId = Number(rows.at(-1)?.id);
      }
    },
  };
}
