/** Products by their ratings and prices, and what becomes of these prices. */
export type PriceRule = {
  /** 1 to 64 of A-Z a-z 0-9 . _ : - */
  name: string;
  /** Of the present price; 100 leaves it as it is. */
  percent: number;
  ratingCountAtLeast?: number;
  ratingAverageAtLeast?: number;
  ratingAverageBelow?: number;
  priceCentsAtLeast?: number;
  priceCentsAtMost?: number;
};

const conditions = {
  ratingCountAtLeast: 'p.rating_count >= :ratingCountAtLeast',
  ratingAverageAtLeast: 'p.rating_average >= :ratingAverageAtLeast',
  ratingAverageBelow: 'p.rating_average < :ratingAverageBelow',
  priceCentsAtLeast: 'p.price_cents >= :priceCentsAtLeast',
  priceCentsAtMost: 'p.price_cents <= :priceCentsAtMost',
} as const;

/** SQL over the columns of `products p`, with a named replacement for each bound that the rule has. */
export function priceRuleCondition(rule: PriceRule): string {
  const names = Object.keys(conditions) as (keyof typeof conditions)[];
  return names
    .filter((name) => rule[name] !== undefined)
    .map((name) => ` AND ${conditions[name]}`)
    .join('');
}
