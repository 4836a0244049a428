import { invalid } from '@strangler/platform/http/invalid.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { lineOfText } from '@strangler/platform/http/text.ts';
import {
  ForeignKeyConstraintError,
  QueryTypes,
  type Sequelize,
  type Transaction,
  UniqueConstraintError,
} from 'sequelize';
import { z } from 'zod';
import type { Clock } from '../../clock.ts';
import type { EventRecorder } from '../../events/event-recorder.ts';
import type { CategoryTold } from '../../events/shop-events.ts';
import { inTransaction } from '../../transaction.ts';
import {
  type CategoryNode,
  type CategoryTree,
  type CategoryView,
  categoryTree,
  categoryView,
  wouldMakeCycle,
} from './category-tree.ts';
import type { CatalogueModels } from './models.ts';

export const wholeCategory = z.strictObject({
  name: lineOfText({ min: 1, max: 100 }),
  slug: z
    .string()
    .max(100)
    .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be words of a-z 0-9 joined by single hyphens'),
  parent_id: z.int().min(1).nullable().default(null),
});

export type CategoryFields = z.infer<typeof wholeCategory>;

export type CategoryService = {
  tree(): Promise<CategoryTree[]>;
  /** The ids of the category with this slug and of all beneath it; none when there is no such category. */
  idsBeneath(slug: string): Promise<number[]>;
  create(fields: CategoryFields): Promise<CategoryView>;
  replace(id: number, fields: CategoryFields): Promise<CategoryView>;
  /** Throws a 409 problem while the category has products or categories beneath it. */
  remove(id: number): Promise<void>;
};

export function createCategoryService({
  sequelize,
  models: { Category },
  events,
  clock,
}: {
  sequelize: Sequelize;
  models: CatalogueModels;
  events: EventRecorder;
  clock: Clock;
}): CategoryService {
  /** Locks the whole (small) tree: two moves at the same time could make a cycle that neither sees. */
  const lockTree = async (transaction: Transaction): Promise<Map<number, number | null>> => {
    const rows = await Category.findAll({
      attributes: ['id', 'parent_id'],
      order: ['id'],
      raw: true,
      transaction,
      lock: transaction.LOCK.UPDATE,
    });
    return new Map(rows.map((row) => [Number(row.id), row.parent_id === null ? null : Number(row.parent_id)]));
  };

  return {
    async tree() {
      const nodes = await sequelize.query<CategoryNode>(
        `SELECT c.id, c.parent_id, c.name, c.slug, COALESCE(shown.n, 0) AS own_products
           FROM categories c
           LEFT JOIN (SELECT category_id, COUNT(*) AS n
                        FROM products
                       WHERE active = 1 AND archived_at IS NULL
                       GROUP BY category_id) AS shown ON shown.category_id = c.id
          ORDER BY c.name, c.id`,
        { type: QueryTypes.SELECT },
      );
      return categoryTree(nodes.map((node) => ({ ...categoryView(node), own_products: Number(node.own_products) })));
    },

    async idsBeneath(slug) {
      const rows = await sequelize.query<{ id: number }>(
        `WITH RECURSIVE beneath (id) AS (
           SELECT id FROM categories WHERE slug = :slug
           UNION ALL
           SELECT c.id FROM categories c JOIN beneath b ON c.parent_id = b.id
         )
         SELECT id FROM beneath`,
        { type: QueryTypes.SELECT, replacements: { slug } },
      );
      return rows.map((row) => Number(row.id));
    },

    create: (fields) =>
      inTransaction(sequelize, async (transaction) => {
        const parents = await lockTree(transaction);
        requireParent(parents, fields.parent_id);
        const now = clock.now();
        const row = await Category.create({ ...fields, created_at: now, updated_at: now }, { transaction }).catch(
          explainDuplicate(fields.slug),
        );
        const view = categoryView(row);
        await events.record('category.created', toldOf(view, now), transaction);
        return view;
      }),

    replace: (id, fields) =>
      inTransaction(sequelize, async (transaction) => {
        const parents = await lockTree(transaction);
        if (!parents.has(id)) throw noSuchCategory(id);
        requireParent(parents, fields.parent_id);
        if (fields.parent_id !== null && wouldMakeCycle(parents, { id, parentId: fields.parent_id })) {
          throw invalid('body', 'parent_id', 'must not be the category itself or one beneath it');
        }
        const now = clock.now();
        await Category.update({ ...fields, updated_at: now }, { where: { id }, transaction }).catch(
          explainDuplicate(fields.slug),
        );
        const view = categoryView({ id, ...fields });
        await events.record('category.changed', toldOf(view, now), transaction);
        return view;
      }),

    remove: (id) =>
      inTransaction(sequelize, async (transaction) => {
        const removed = await Category.destroy({ where: { id }, transaction }).catch((error: unknown) => {
          if (!(error instanceof ForeignKeyConstraintError)) throw error;
          throw problems.conflict(
            `Category ${id} is not empty: move or delete its categories, and move its products, archived ones included`,
          );
        });
        if (removed === 0) throw noSuchCategory(id);
        const data = { category_id: id, occurred_at: clock.now().toISOString() };
        await events.record('category.removed', data, transaction);
      }),
  };
}

/** What events tell of a category that was just written. */
function toldOf({ id, name, slug, parent_id }: CategoryView, now: Date): CategoryTold {
  const parent = parent_id === null ? {} : { parent_id };
  return { category_id: id, name, slug, ...parent, occurred_at: now.toISOString() };
}

function requireParent(parents: ReadonlyMap<number, number | null>, parentId: number | null): void {
  if (parentId !== null && !parents.has(parentId)) throw invalid('body', 'parent_id', 'names no category');
}

function noSuchCategory(id: number) {
  return problems.notFound(`There is no category ${id}`);
}

function explainDuplicate(slug: string) {
  return (error: unknown): never => {
    if (error instanceof UniqueConstraintError)
      throw problems.conflict(`There is already a category with the slug ${slug}`);
    throw error;
  };
}
