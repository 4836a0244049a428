import { ifMatchMatches } from '@strangler/platform/http/entity-tag.ts';
import { invalid } from '@strangler/platform/http/invalid.ts';
import { type Page, pageOf } from '@strangler/platform/http/paging.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { type Sequelize, type Transaction, UniqueConstraintError } from 'sequelize';
import type { Clock } from '../../clock.ts';
import type { EventRecorder } from '../../events/event-recorder.ts';
import type { ProductTold } from '../../events/shop-events.ts';
import type { Representation } from '../../http/representation.ts';
import { inTransaction } from '../../transaction.ts';
import type { CategoryService } from './category-service.ts';
import type { CatalogueModels, ProductRow } from './models.ts';
import { MAX_ATTRIBUTES, type ProductFields, type ProductPatch, patchAttributes } from './product-fields.ts';
import { type ProductQuery, productConditions, productOrder, sortRules } from './product-list.ts';
import {
  attributesOf,
  type ProductView,
  type ProductWithCategory,
  productRepresentation,
  productView,
} from './product-representation.ts';

export type ProductService = {
  list(query: ProductQuery): Promise<Page<ProductView>>;
  /** Throws a 404 problem when there is no such product, or it is archived; so do all that take an id. */
  get(id: number): Promise<Representation>;
  create(fields: ProductFields): Promise<Representation & { id: number }>;
  /** The writes below throw a 412 problem when `ifMatch` does not name the current representation. */
  replace(id: number, ifMatch: string, fields: ProductFields): Promise<Representation>;
  patch(id: number, ifMatch: string, patch: ProductPatch): Promise<Representation>;
  archive(id: number, ifMatch: string): Promise<void>;
};

export function createProductService({
  sequelize,
  models: { Product, Category },
  categories,
  events,
  clock,
}: {
  sequelize: Sequelize;
  models: CatalogueModels;
  categories: CategoryService;
  events: EventRecorder;
  clock: Clock;
}): ProductService {
  const withCategory = { model: Category, as: 'category', attributes: ['id', 'name', 'slug'] };

  const load = async (id: number, transaction?: Transaction): Promise<ProductWithCategory> => {
    const row = await Product.findOne({
      where: { id, archived_at: null },
      include: [withCategory],
      raw: true,
      nest: true,
      transaction: transaction ?? null,
    });
    if (!row) throw problems.notFound(`There is no product ${id}`);
    return row as unknown as ProductWithCategory;
  };

  const requireCategory = async (id: number, transaction: Transaction): Promise<void> => {
    const found = await Category.findByPk(id, { attributes: ['id'], transaction, lock: transaction.LOCK.SHARE });
    if (!found) throw invalid('body', 'category_id', 'names no category');
  };

  /** Writes what `change` makes of the row, if it is still the row that the client has seen. */
  const update = (
    id: number,
    ifMatch: string,
    change: (row: ProductWithCategory) => Partial<ProductRow>,
  ): Promise<ProductWithCategory> =>
    inTransaction(sequelize, async (transaction) => {
      // `*` says "whatever it is now": the row is locked first, so that no other write can come between.
      if (ifMatch.trim() === '*') {
        await Product.findByPk(id, { attributes: ['id'], transaction, lock: transaction.LOCK.UPDATE });
      }
      const row = await load(id, transaction);
      if (!ifMatchMatches(ifMatch, productRepresentation(row).entityTag)) throw stale(id);
      const changes = change(row);
      if (changes.category_id !== undefined && changes.category_id !== Number(row.category_id)) {
        await requireCategory(changes.category_id, transaction);
      }
      const now = clock.now();
      const [updated] = await Product.update(
        { ...changes, version: row.version + 1, updated_at: now },
        { where: { id, version: row.version }, transaction },
      ).catch(explainDuplicate(changes.sku));
      if (updated === 0) throw stale(id);
      if (changes.archived_at) {
        const told = { product_id: id, version: row.version + 1, occurred_at: now.toISOString() };
        await events.record('product.removed', told, transaction);
        return row;
      }
      const changed = await load(id, transaction);
      await events.record('product.changed', toldOf(changed), transaction);
      return changed;
    });

  return {
    async list(query) {
      const categoryIds = query.category === undefined ? undefined : await categories.idsBeneath(query.category);
      if (categoryIds?.length === 0) return { items: [], next_cursor: null };
      const rows = (await Product.findAll({
        where: productConditions(query, categoryIds),
        include: [withCategory],
        order: productOrder(query.sort),
        limit: query.limit + 1,
        raw: true,
        nest: true,
      })) as unknown as ProductWithCategory[];
      return pageOf(rows, {
        limit: query.limit,
        fingerprint: query.fingerprint,
        cursorOf: (row) => ({ key: sortRules[query.sort].keyOf(row), id: Number(row.id) }),
        toItem: productView,
      });
    },

    async get(id) {
      return productRepresentation(await load(id));
    },

    async create(fields) {
      const row = await inTransaction(sequelize, async (transaction) => {
        await requireCategory(fields.category_id, transaction);
        const now = clock.now();
        const { id } = await Product.create({ ...fields, created_at: now, updated_at: now }, { transaction }).catch(
          explainDuplicate(fields.sku),
        );
        const made = await load(Number(id), transaction);
        await events.record('product.created', toldOf(made), transaction);
        return made;
      });
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
function toldOf(row: ProductWithCategory): ProductTold {
  return {
    product_id: Number(row.id),
    version: row.version,
    sku: row.sku,
    name: row.name,
    category_id: Number(row.category.id),
    price_cents: row.price_cents,
    currency: row.currency,
    active: Boolean(row.active),
    occurred_at: row.updated_at.toISOString(),
  };
}

function stale(id: number) {
  return problems.preconditionFailed(`Product ${id} has changed since the ETag in If-Match; read it again and repeat`);
}

function explainDuplicate(sku: string | undefined) {
  return (error: unknown): never => {
    if (error instanceof UniqueConstraintError)
      throw problems.conflict(`There is already a product with the SKU ${sku}`);
    throw error;
  };
}
