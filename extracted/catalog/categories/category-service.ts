import type { CacheInvalidation } from '@strangler/platform/cache/invalidation.ts';
import { everythingScope } from '@strangler/platform/cache/scope.ts';
import { invalid } from '@strangler/platform/http/invalid.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { lineOfText } from '@strangler/platform/http/text.ts';
import { change, type Executor, isDuplicate, select } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { CategoryTold } from '../events/catalog-events.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import type { Fenced } from '../fenced.ts';
import { type CategoryView, categoryView, wouldMakeCycle } from './category-tree.ts';

export const wholeCategory = z.strictObject({
  name: lineOfText({ min: 1, max: 100 }),
  slug: z
    .string()
    .max(100)
    .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be words of a-z 0-9 joined by single hyphens'),
  parent_id: z.int().min(1).nullable().default(null),
});

export type CategoryFields = z.infer<typeof wholeCategory>;

/** Changes categories. Every method returns after the cache has been told. */
export type CategoryService = {
  create(fields: CategoryFields): Promise<CategoryView>;
  /** Its products show the new name and slug at once; neither their versions nor their times change by that. */
  replace(id: number, fields: CategoryFields): Promise<CategoryView>;
  /** Throws a 409 problem while the category has products or categories beneath it. */
  remove(id: number): Promise<void>;
};

/** Ids of categories, each with its parent's. */
type Parents = ReadonlyMap<number, number | null>;

export function createCategoryService({
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
}): CategoryService {
  /** Locks the whole (small) tree: two moves at the same time could make a cycle that neither sees. */
  const withTree = <T>(work: (executor: Executor, parents: Parents) => Promise<T>): Promise<T> =>
    fenced(() =>
      invalidation.around([everythingScope], () =>
        withTransaction(pool, 'READ COMMITTED', async (connection) => {
          const rows = await select<{ id: number; parent_id: number | null }>(
            connection,
            'SELECT id, parent_id FROM categories ORDER BY id FOR UPDATE',
          );
          const parents = rows.map(
            (row) => [Number(row.id), row.parent_id === null ? null : Number(row.parent_id)] as const,
          );
          return work(connection, new Map(parents));
        }),
      ),
    );

  return {
    create: (fields) =>
      withTree(async (executor, parents) => {
        requireParent(parents, fields.parent_id);
        const now = clock.now();
        const { id } = await change(
          executor,
          'INSERT INTO categories (name, slug, parent_id, created_at, updated_at) VALUES (?, ?, ?, ?, ?)',
          [fields.name, fields.slug, fields.parent_id, now, now],
        ).catch(explainDuplicate(fields.slug));
        await events.record('category.created', toldOf({ id, ...fields }, now), executor);
        return categoryView({ id, ...fields });
      }),

    replace: (id, fields) =>
      withTree(async (executor, parents) => {
        if (!parents.has(id)) throw noSuchCategory(id);
        requireParent(parents, fields.parent_id);
        if (fields.parent_id !== null && wouldMakeCycle(parents, { id, parentId: fields.parent_id })) {
          throw invalid('body', 'parent_id', 'must not be the category itself or one beneath it');
        }
        const now = clock.now();
        await change(executor, 'UPDATE categories SET name = ?, slug = ?, parent_id = ?, updated_at = ? WHERE id = ?', [
          fields.name,
          fields.slug,
          fields.parent_id,
          now,
          id,
        ]).catch(explainDuplicate(fields.slug));
        await events.record('category.changed', toldOf({ id, ...fields }, now), executor);
        return categoryView({ id, ...fields });
      }),

    remove: (id) =>
      withTree(async (executor, parents) => {
        if (!parents.has(id)) throw noSuchCategory(id);
        const [product] = await select(executor, 'SELECT id FROM products WHERE category_id = ? LIMIT 1', [id]);
        if (product !== undefined || [...parents.values()].includes(id)) {
          throw problems.conflict(
            `Category ${id} is not empty: move or delete its categories, and move its products, archived ones included`,
          );
        }
        await change(executor, 'DELETE FROM categories WHERE id = ?', [id]);
        await events.record('category.removed', { category_id: id, occurred_at: clock.now().toISOString() }, executor);
      }),
  };
}

/** What events tell of a category that was just written. */
function toldOf({ id, name, slug, parent_id }: CategoryView, now: Date): CategoryTold {
  const parent = parent_id === null ? {} : { parent_id };
  return { category_id: id, name, slug, ...parent, occurred_at: now.toISOString() };
}

function requireParent(parents: Parents, parentId: number | null): void {
  if (parentId !== null && !parents.has(parentId)) throw invalid('body', 'parent_id', 'names no category');
}

function noSuchCategory(id: number) {
  return problems.notFound(`There is no category ${id}`);
}

function explainDuplicate(slug: string) {
  return (error: unknown): never => {
    if (isDuplicate(error)) throw problems.conflict(`There is already a category with the slug ${slug}`);
    throw error;
  };
}
