/** What the catalogue tells of, by type: to the letter what the shop told before, whose schemas describe it. */
export type CatalogEvents = {
  'product.created': ProductTold;
  'product.changed': ProductTold;
  'product.removed': Occurred & { product_id: number; version: number };
  'review.posted': ReviewTold;
  'review.removed': ReviewTold;
  'category.created': CategoryTold;
  'category.changed': CategoryTold;
  'category.removed': Occurred & { category_id: number };
  'prices.changed': Occurred & { run: string; rule: string; percent: number; changed: number };
};

export type CatalogEventType = keyof CatalogEvents;

/** When it happened: ISO 8601, UTC, with milliseconds. */
type Occurred = { occurred_at: string };

export type ProductTold = Occurred & {
  product_id: number;
  version: number;
  sku: string;
  name: string;
  category_id: number;
  price_cents: number;
  currency: string;
  active: boolean;
};

/** With the product's rating as it is from then on. */
export type ReviewTold = Occurred & {
  product_id: number;
  review_id: number;
  account_id: number;
  rating: number;
  rating_average: number;
  rating_count: number;
};

/** `parent_id` is missing where there is no parent. */
export type CategoryTold = Occurred & { category_id: number; name: string; slug: string; parent_id?: number };

type Telling<T extends CatalogEventType> = {
  schemaVersion: number;
  /** Events of one aggregate and key are heard in the order in which they happened. */
  aggregate: 'product' | 'category' | 'prices';
  keyOf(data: CatalogEvents[T]): string;
};

const ofProduct = {
  schemaVersion: 1,
  aggregate: 'product',
  keyOf: ({ product_id }: { product_id: number }) => `${product_id}`,
} as const;
const ofCategory = {
  schemaVersion: 1,
  aggregate: 'category',
  keyOf: ({ category_id }: { category_id: number }) => `${category_id}`,
} as const;

export const tellings: { readonly [T in CatalogEventType]: Telling<T> } = {
  'product.created': ofProduct,
  'product.changed': ofProduct,
  'product.removed': ofProduct,
  'review.posted': ofProduct,
  'review.removed': ofProduct,
  'category.created': ofCategory,
  'category.changed': ofCategory,
  'category.removed': ofCategory,
  'prices.changed': { schemaVersion: 1, aggregate: 'prices', keyOf: ({ rule }) => rule },
};
