import { entityTag } from '@strangler/platform/http/entity-tag.ts';
import { type Executor, select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import type { ReadThrough } from '../cache/read-through.ts';
import { listsScope } from '../cache/scope.ts';
import type { Representation } from '../http/representation.ts';
import { type CategoryNode, categoryTree, categoryView } from './category-tree.ts';

export type CategoryReader = {
  tree(): Promise<Representation>;
};

export function createCategoryReader({ pool, cache }: { pool: Pool; cache: ReadThrough }): CategoryReader {
  const load = async (): Promise<Representation> => {
    const nodes = await select<CategoryNode>(
      pool,
      `SELECT c.id, c.parent_id, c.name, c.slug, COALESCE(shown.n, 0) AS own_products
         FROM categories c
         LEFT JOIN (SELECT category_id, COUNT(*) AS n FROM products WHERE listed = 1 GROUP BY category_id) AS shown
           ON shown.category_id = c.id
        ORDER BY c.name, c.id`,
    );
    const items = categoryTree(
      nodes.map((node) => ({ ...categoryView(node), own_products: Number(node.own_products) })),
    );
    const body = JSON.stringify({ items });
    return { body, entityTag: entityTag(body) };
  };

  return {
    async tree() {
      return (await cache.read({ kind: 'categories', key: 'tree', scope: listsScope, load }))!;
    },
  };
}

/** The ids of the category with this slug and of all beneath it; none when there is no such category. */
export async function idsBeneath(executor: Executor, slug: string): Promise<number[]> {
  const rows = await select<{ id: number }>(
    executor,
    `WITH RECURSIVE beneath (id) AS (
       SELECT id FROM categories WHERE slug = ?
       UNION ALL
       SELECT c.id FROM categories c JOIN beneath b ON c.parent_id = b.id
     )
     SELECT id FROM beneath`,
    [slug],
  );
  return rows.map((row) => Number(row.id));
}
