/** The sum and number of a product's stars. */
export type Rating = { sum: number; count: number };

export function withReview(rating: Rating, stars: number): Rating {
  return { sum: rating.sum + stars, count: rating.count + 1 };
}

export function withoutReview(rating: Rating, stars: number): Rating {
  return { sum: rating.sum - stars, count: rating.count - 1 };
}

/** The mean to two decimals, halves rounded up; 0 when there is no review. Integers throughout, so exact. */
export function ratingAverage({ sum, count }: Rating): number {
  return count === 0 ? 0 : Math.floor((200 * sum + count) / (2 * count)) / 100;
}

/** The columns of `products` that hold a rating. */
export function ratingColumns(rating: Rating): { rating_sum: number; rating_count: number; rating_average: number } {
  return { rating_sum: rating.sum, rating_count: rating.count, rating_average: ratingAverage(rating) };
}
