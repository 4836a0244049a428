import type { Identity } from '@strangler/platform/auth/auth.ts';
import type { CacheInvalidation } from '@strangler/platform/cache/invalidation.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { lineOfText, paragraphs } from '@strangler/platform/http/text.ts';
import { change, type Executor, isDuplicate, select } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { z } from 'zod';
import { type AuthorNames, addAuthor } from '../authors/author-names.ts';
import { listsScope, productScope } from '../cache/scope.ts';
import type { Clock } from '../clock.ts';
import type { ReviewTold } from '../events/catalog-events.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import type { Fenced } from '../fenced.ts';
import type { ProductRow } from '../products/product-row.ts';
import { noSuchProduct } from '../products/product-service.ts';
import { type Rating, ratingAverage, ratingColumns, withoutReview, withReview } from '../products/rating.ts';
import { type ReviewRow, type ReviewView, reviewView, selectReviews } from './review-view.ts';

export const newReview = z.strictObject({
  rating: z.int().min(1).max(5),
  title: lineOfText({ min: 1, max: 120 }),
  body: paragraphs({ min: 1, max: 5000 }),
});

export type NewReview = z.infer<typeof newReview>;

/** Writes and deletes reviews. Every method returns after the cache has been told. */
export type ReviewService = {
  /** Throws a 409 problem when the account has reviewed the product before. */
  create(
    productId: number,
    author: { id: number /** The header that proves who it is. */; authorization: string },
    review: NewReview,
  ): Promise<ReviewView>;
  /** Throws a 403 problem when the review is neither the caller's own nor the caller an admin. */
  remove(productId: number, reviewId: number, caller: Identity): Promise<void>;
};

export function createReviewService({
  pool,
  invalidation,
  fenced,
  events,
  authorNames,
  clock,
}: {
  pool: Pool;
  invalidation: CacheInvalidation;
  fenced: Fenced;
  events: EventRecorder;
  authorNames: AuthorNames;
  clock: Clock;
}): ReviewService {
  /** Locks the product's row, so that its rating is counted by one transaction at a time. */
  const withProduct = <T>(id: number, work: (executor: Executor, product: RatedProduct) => Promise<T>): Promise<T> =>
    fenced(() =>
      invalidation.around([productScope(id), listsScope], () =>
        withTransaction(pool, 'READ COMMITTED', async (connection) => {
          const [product] = await select<RatedProduct>(
            connection,
            'SELECT id, rating_sum, rating_count, version FROM products WHERE id = ? AND archived_at IS NULL FOR UPDATE',
            [id],
          );
          if (!product) throw noSuchProduct(id);
          return work(connection, product);
        }),
      ),
    );

  const writeRating = async (
    executor: Executor,
    { id, version }: RatedProduct,
    rating: Rating,
    now: Date,
  ): Promise<void> => {
    const columns = { ...ratingColumns(rating), version: version + 1, updated_at: now };
    const assigned = Object.keys(columns).map((column) => `${column} = ?`);
    await change(executor, `UPDATE products SET ${assigned.join(', ')} WHERE id = ?`, [...Object.values(columns), id]);
  };

  return {
    async create(productId, author, review) {
      // Asked for before the transaction: no lock is held while another process thinks. That there is no such product is
      // told before that there is no such account.
      const [authorName] = await Promise.allSettled([authorNames.nameOf(author.id, author.authorization)]);
      return withProduct(productId, async (executor, product) => {
        if (authorName.status === 'rejected') throw authorName.reason;
        await addAuthor(executor, { id: author.id, name: authorName.value });
        const now = clock.now();
        const { id } = await change(
          executor,
          'INSERT INTO reviews (product_id, author_id, rating, title, body, created_at) VALUES (?, ?, ?, ?, ?, ?)',
          [productId, author.id, review.rating, review.title, review.body, now],
        ).catch((error: unknown) => {
          if (!isDuplicate(error)) throw error;
          throw problems.conflict(`Account ${author.id} has already reviewed product ${productId}`);
        });
        const rating = withReview(ratingOf(product), review.rating);
        await writeRating(executor, product, rating, now);
        const told = { id, productId, accountId: author.id, stars: review.rating };
        await events.record('review.posted', toldOf(told, rating, now), executor);
        const [row] = await select<ReviewRow>(executor, `${selectReviews} WHERE r.id = ?`, [id]);
        return reviewView(row as ReviewRow);
      });
    },

    remove: (productId, reviewId, caller) =>
      withProduct(productId, async (executor, product) => {
        const [review] = await select<Pick<ReviewRow, 'author_id' | 'rating'>>(
          executor,
          'SELECT author_id, rating FROM reviews WHERE id = ? AND product_id = ?',
          [reviewId, productId],
        );
        if (!review) throw problems.notFound(`There is no review ${reviewId} of product ${productId}`);
        if (caller.role !== 'admin' && Number(review.author_id) !== caller.accountId) {
          throw problems.forbidden('A review is deleted by its author or by an admin');
        }
        await change(executor, 'DELETE FROM reviews WHERE id = ?', [reviewId]);
        const now = clock.now();
        const rating = withoutReview(ratingOf(product), review.rating);
        await writeRating(executor, product, rating, now);
        const told = { id: reviewId, productId, accountId: Number(review.author_id), stars: review.rating };
        await events.record('review.removed', toldOf(told, rating, now), executor);
      }),
  };
}

type RatedProduct = Pick<ProductRow, 'id' | 'rating_sum' | 'rating_count' | 'version'>;

function ratingOf(product: RatedProduct): Rating {
  return { sum: product.rating_sum, count: product.rating_count };
}

/** What events tell of a review that was just written or deleted, with the product's rating from then on. */
function toldOf(
  review: { id: number; productId: number; accountId: number; stars: number },
  rating: Rating,
  now: Date,
): ReviewTold {
  return {
    product_id: review.productId,
    review_id: review.id,
    account_id: review.accountId,
    rating: review.stars,
    rating_average: ratingAverage(rating),
    rating_count: rating.count,
    occurred_at: now.toISOString(),
  };
}
