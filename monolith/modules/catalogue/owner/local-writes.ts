import { QueryTypes, type Sequelize } from 'sequelize';
import type { Clock } from '../../../clock.ts';
import type { EventRecorder } from '../../../events/event-recorder.ts';
import { sqlTime } from '../../../sql-time.ts';
import { inTransaction } from '../../../transaction.ts';
import type { CategoryService } from '../category-service.ts';
import { priceRuleCondition } from '../price-rule.ts';
import type { ProductService } from '../product-service.ts';
import type { ReviewService } from '../review-service.ts';
import type { CatalogueWrites } from './catalogue-writes.ts';

/** Writes into the shop's own tables. */
export function localWrites({
  sequelize,
  events,
  clock,
  products,
  categories,
  reviews,
}: {
  sequelize: Sequelize;
  events: EventRecorder;
  clock: Clock;
  products: ProductService;
  categories: CategoryService;
  reviews: ReviewService;
}): CatalogueWrites {
  return {
    createProduct: (fields) => products.create(fields),
    replaceProduct: (id, ifMatch, fields) => products.replace(id, ifMatch, fields),
    patchProduct: (id, ifMatch, patch) => products.patch(id, ifMatch, patch),
    archiveProduct: (id, ifMatch) => products.archive(id, ifMatch),
    createCategory: (fields) => categories.create(fields),
    replaceCategory: (id, fields) => categories.replace(id, fields),
    removeCategory: (id) => categories.remove(id),
    createReview: (productId, review, { identity }) => reviews.create(productId, identity.accountId, review),
    removeReview: (productId, reviewId, { identity }) => reviews.remove(productId, reviewId, identity),

    // One statement straight on the table. Each row's version grows, as with every change of a product.
    applyPriceRule: (run, rule) =>
      inTransaction(sequelize, async (transaction) => {
        const now = clock.now();
        const [, changed] = await sequelize.query(
          `UPDATE products p
              SET p.price_cents = ROUND(p.price_cents * :percent / 100), p.version = p.version + 1, p.updated_at = :now
            WHERE p.archived_at IS NULL${priceRuleCondition(rule)}`,
          { type: QueryTypes.UPDATE, replacements: { ...rule, now: sqlTime(now) }, transaction },
        );
        const { name, percent } = rule;
        const data = { run, rule: name, percent, changed: Number(changed), occurred_at: now.toISOString() };
        await events.record('prices.changed', data, transaction);
        return changed;
      }),
  };
}
