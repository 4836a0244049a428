import {
  type Cursor,
  decodeCursor,
  listFingerprint,
  type Page,
  pageOf,
  pageParameters,
} from '@strangler/platform/http/paging.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { lineOfText, paragraphs } from '@strangler/platform/http/text.ts';
import { parseQuery } from '@strangler/platform/http/validate.ts';
import type { Request } from 'express';
import {
  ForeignKeyConstraintError,
  Op,
  type Sequelize,
  type Transaction,
  UniqueConstraintError,
  type WhereOptions,
} from 'sequelize';
import { z } from 'zod';
import { type Identity, unauthorized } from '../../auth/auth.ts';
import type { Clock } from '../../clock.ts';
import type { EventRecorder } from '../../events/event-recorder.ts';
import type { ReviewTold } from '../../events/shop-events.ts';
import type { Models } from '../../models/index.ts';
import { inTransaction } from '../../transaction.ts';
import type { ReviewRow } from './models.ts';
import { type Rating, ratingAverage, ratingColumns, withoutReview, withReview } from './rating.ts';

/** A review as the API shows it. */
export type ReviewView = {
  id: number;
  product_id: number;
  rating: number;
  title: string;
  body: string;
  author: { id: number; display_name: string };
  created_at: string;
};

export const newReview = z.strictObject({
  rating: z.int().min(1).max(5),
  title: lineOfText({ min: 1, max: 120 }),
  body: paragraphs({ min: 1, max: 5000 }),
});

export type NewReview = z.infer<typeof newReview>;

export type ReviewQuery = { limit: number; fingerprint: string; after: Cursor<string> | undefined };

export type ReviewService = {
  /** Newest first. */
  list(productId: number, query: ReviewQuery): Promise<Page<ReviewView>>;
  /** Throws a 409 problem when the account has reviewed the product before. */
  create(productId: number, accountId: number, review: NewReview): Promise<ReviewView>;
  /** Throws a 403 problem when the review is neither the caller's own nor the caller an admin. */
  remove(productId: number, reviewId: number, caller: Identity): Promise<void>;
};

const querySchema = z.strictObject(pageParameters);

/** Reads the query string of a product's list of reviews. */
export function reviewQuery(request: Request, productId: number): ReviewQuery {
  const query = parseQuery(querySchema, request);
  const fingerprint = listFingerprint({ list: 'reviews', product: productId });
  const key = z.iso.datetime({ precision: 3 });
  return {
    limit: query.limit,
    fingerprint,
    after: query.cursor === undefined ? undefined : decodeCursor(query.cursor, { fingerprint, key }),
  };
}

type ReviewWithAuthor = ReviewRow & { author: { id: number; display_name: string } };

export function createReviewService({
  sequelize,
  models: { Account, Product, Review },
  events,
  clock,
}: {
  sequelize: Sequelize;
  models: Models;
  events: EventRecorder;
  clock: Clock;
}): ReviewService {
  const withAuthor = { model: Account, as: 'author', attributes: ['id', 'display_name'] };

  /** Locks the product's row, so that its rating is counted by one transaction at a time. */
  const lockProduct = async (id: number, transaction: Transaction) => {
    const row = await Product.findOne({
      attributes: ['id', 'rating_sum', 'rating_count', 'version'],
      where: { id, archived_at: null },
      raw: true,
      transaction,
      lock: transaction.LOCK.UPDATE,
    });
    if (!row) throw noSuchProduct(id);
    return row;
  };

  const writeRating = (
    { id, version }: { id: number; version: number },
    rating: Rating,
    now: Date,
    transaction: Transaction,
  ) =>
    Product.update({ ...ratingColumns(rating), version: version + 1, updated_at: now }, { where: { id }, transaction });

  return {
    async list(productId, query) {
      const product = await Product.findOne({
        attributes: ['id'],
        where: { id: productId, archived_at: null },
        raw: true,
      });
      if (!product) throw noSuchProduct(productId);
      const conditions: WhereOptions<ReviewRow>[] = [{ product_id: productId }];
      if (query.after) {
        const createdAt = new Date(query.after.key);
        conditions.push({
          created_at: { [Op.lte]: createdAt },
          [Op.or]: [{ created_at: { [Op.lt]: createdAt } }, { id: { [Op.lt]: query.after.id } }],
        });
      }
      const rows = (await Review.findAll({
        where: { [Op.and]: conditions },
        include: [withAuthor],
        order: [
          ['created_at', 'DESC'],
          ['id', 'DESC'],
        ],
        limit: query.limit + 1,
        raw: true,
        nest: true,
      })) as unknown as ReviewWithAuthor[];
      return pageOf(rows, {
        limit: query.limit,
        fingerprint: query.fingerprint,
        cursorOf: (row) => ({ key: row.created_at.toISOString(), id: Number(row.id) }),
        toItem: reviewView,
      });
    },

    create: (productId, accountId, review) =>
      inTransaction(sequelize, async (transaction) => {
        const product = await lockProduct(productId, transaction);
        const now = clock.now();
        const { id } = await Review.create(
          { ...review, product_id: productId, account_id: accountId, created_at: now },
          { transaction },
        ).catch((error: unknown) => {
          if (error instanceof ForeignKeyConstraintError) {
            throw unauthorized('The account of this access token does not exist', 'invalid_token');
          }
          if (!(error instanceof UniqueConstraintError)) throw error;
          throw problems.conflict(`Account ${accountId} has already reviewed product ${productId}`);
        });
        const rating = withReview({ sum: product.rating_sum, count: product.rating_count }, review.rating);
        await writeRating({ id: productId, version: product.version }, rating, now, transaction);
        const told = { id: Number(id), productId, accountId, stars: review.rating };
        await events.record('review.posted', toldOf(told, rating, now), transaction);
        const row = await Review.findByPk(id, { include: [withAuthor], raw: true, nest: true, transaction });
        return reviewView(row as unknown as ReviewWithAuthor);
      }),

    remove: (productId, reviewId, caller) =>
      inTransaction(sequelize, async (transaction) => {
        const product = await lockProduct(productId, transaction);
        const review = await Review.findOne({ where: { id: reviewId, product_id: productId }, raw: true, transaction });
        if (!review) throw problems.notFound(`There is no review ${reviewId} of product ${productId}`);
        if (caller.role !== 'admin' && Number(review.account_id) !== caller.accountId) {
          throw problems.forbidden('A review is deleted by its author or by an admin');
        }
        await Review.destroy({ where: { id: reviewId }, transaction });
        const rating = withoutReview({ sum: product.rating_sum, count: product.rating_count }, review.rating);
        const now = clock.now();
        await writeRating({ id: productId, version: product.version }, rating, now, transaction);
        const told = { id: reviewId, productId, accountId: Number(review.account_id), stars: review.rating };
        await events.record('review.removed', toldOf(told, rating, now), transaction);
      }),
  };
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

function reviewView(row: ReviewWithAuthor): ReviewView {
  return {
    id: Number(row.id),
    product_id: Number(row.product_id),
    rating: row.rating,
    title: row.title,
    body: row.body,
    author: { id: Number(row.author.id), display_name: row.author.display_name },
    created_at: row.created_at.toISOString(),
  };
}

function noSuchProduct(id: number) {
  return problems.notFound(`There is no product ${id}`);
}
