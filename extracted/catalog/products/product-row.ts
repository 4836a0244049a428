/** A row of `products`, as the driver gives it. */
export type ProductRow = {
  id: number;
  sku: string;
  name: string;
  description: string;
  category_id: number;
  /** Name and slug of the category, kept here by the database itself, because every answer shows them. */
  category_name: string;
  category_slug: string;
  price_cents: number;
  currency: string;
  /** JSON text. */
  attributes: string;
  active: number;
  /** Deleted products stay as rows, because orders elsewhere refer to them; nothing shows them. */
  archived_at: Date | null;
  rating_sum: number;
  rating_count: number;
  /** DECIMAL: comes as a string. */
  rating_average: string;
  /** Grows by one with every change of the row: optimistic locking and the ETag stand on it. */
  version: number;
  created_at: Date;
  updated_at: Date;
};

/** The columns of `ProductRow`, for a SELECT. */
export const productColumns = [
  'id, sku, name, description, category_id, category_name, category_slug, price_cents, currency, attributes, active',
  'archived_at, rating_sum, rating_count, rating_average, version, created_at, updated_at',
].join(', ');
