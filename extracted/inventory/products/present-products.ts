import { type Executor, select } from '@strangler/platform/mysql/statements.ts';

/**
 * Those of the products that there are, and are not archived: what the pipe has copied, and what events have told since. Who is
 * said to be removed by either is not there.
 */
export async function presentProducts(executor: Executor, productIds: readonly number[]): Promise<ReadonlySet<number>> {
  if (productIds.length === 0) return new Set();
  const rows = await select<{ id: number | string }>(
    executor,
    `SELECT id FROM (
       SELECT id, archived_at AS gone_at FROM products WHERE id IN (?)
       UNION ALL
       SELECT product_id, removed_at FROM product_news WHERE product_id IN (?)
     ) AS known GROUP BY id HAVING MAX(gone_at) IS NULL`,
    [productIds, productIds],
  );
  return new Set(rows.map(({ id }) => Number(id)));
}
