import { type Action, createVisitor, type Visitor, type VisitorOptions } from './visitor.ts';

export type ReviewerOptions = Omit<VisitorOptions, 'nextAction' | 'accessToken'> & {
  /** Of a customer nobody else acts for: there is one review a customer and product. */
  accessToken: string;
  productIds: readonly number[];
  random: () => number;
};

/** Reviews that a reviewer lets stand before the oldest is deleted. */
const standing = 5;

/** A customer who keeps writing reviews, and takes back old ones. */
export const createReviewer = ({ productIds, random, ...options }: ReviewerOptions): Visitor => {
  const reviews: { product: number; id: number }[] = [];

  const writeReview = (): Action => {
    const product = productIds[Math.floor(random() * productIds.length)]!;
    return {
      name: 'write a review',
      method: 'POST',
      path: `/api/products/${product}/reviews`,
      body: {
        rating: 1 + Math.floor(random() * 5),
        title: 'Zufrieden',
        body: 'Größe passt. 10 % günstiger als 2019 👍',
      },
      // 409: it has one already.
      fine: [201, 409],
      onAnswer: (status, body) => {
        if (status === 201) reviews.push({ product, id: (body as { id: number }).id });
      },
    };
  };
  const deleteReview = ({ product, id }: { product: number; id: number }): Action => ({
    name: 'delete a review',
    method: 'DELETE',
    path: `/api/products/${product}/reviews/${id}`,
    fine: [204],
  });
  const nextAction = (): Action => {
    const oldest = reviews.length > standing ? reviews.shift() : undefined;
    return oldest === undefined ? writeReview() : deleteReview(oldest);
  };
  return createVisitor({ ...options, nextAction });
};
