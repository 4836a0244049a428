import type { HistoryLog } from '../../checker/history-log.ts';
import { deleted } from '../../checker/operation.ts';
import { type Action, createVisitor, type Visitor, type VisitorOptions } from '../visitor.ts';
import { type CheckedProduct, reviewKey } from './checked-products.ts';
import { outcomeOf } from './outcome.ts';

export type RecordedReviewerOptions = Omit<VisitorOptions, 'nextAction' | 'accessToken'> & {
  accessToken: string;
  accountId: number;
  log: HistoryLog;
  /** Nobody reviews one of them twice. */
  products: readonly CheckedProduct[];
};

/** Begins the title of every review that the checker knows. */
export const reviewTitle = 'Review';

/** Reviews that a reviewer lets stand before the oldest is deleted. */
const standing = 3;

/**
 * A customer who reviews one product after the other, and takes back old reviews; each is logged. When no product is left,
 * it looks at its last one.
 */
export const createRecordedReviewer = (options: RecordedReviewerOptions): Visitor => {
  const { name, log, accountId, products } = options;
  const written: { product: CheckedProduct; id: number }[] = [];
  let next = 0;

  const writeReview = (product: CheckedProduct): Action => {
    const title = `${reviewTitle} ${product.id} of ${accountId}`;
    const key = reviewKey(product.id, accountId);
    const end = log.begin({ client: name, op: 'add review', kind: 'write', key, value: title });
    return {
      name: 'add review',
      method: 'POST',
      path: `/api/products/${product.id}/reviews`,
      body: { rating: 1 + (product.id % 5), title, body: 'Größe passt.' },
      fine: [201],
      onEnd: (ending) => {
        const judged = outcomeOf(ending);
        end(judged);
        if (judged.outcome === 'ok' && ending.kind === 'answer')
          written.push({ product, id: (ending.body as { id: number }).id });
      },
    };
  };
  const deleteReview = ({ product, id }: { product: CheckedProduct; id: number }): Action => {
    const key = reviewKey(product.id, accountId);
    const end = log.begin({ client: name, op: 'delete review', kind: 'write', key, value: deleted });
    return {
      name: 'delete review',
      method: 'DELETE',
      path: `/api/products/${product.id}/reviews/${id}`,
      fine: [204],
      onEnd: (ending) => void end(outcomeOf(ending)),
    };
  };
  const nextAction = (): Action => {
    const oldest = written.length > standing ? written.shift() : undefined;
    if (oldest !== undefined) return deleteReview(oldest);
    const product = products[next];
    next += 1;
    if (product !== undefined) return writeReview(product);
    return {
      name: 'look at a review',
      method: 'GET',
      path: `/api/products/${products.at(-1)!.id}/reviews`,
      fine: [200],
    };
  };
  return createVisitor({ ...options, nextAction });
};
