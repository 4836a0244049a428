import { entityTag } from '@strangler/platform/http/entity-tag.ts';
import type { Representation } from '../../http/representation.ts';
import type { ProductRow } from './models.ts';
import type { AttributeValue, ProductAttributes } from './product-fields.ts';

/** A product as the API shows it. The order of the fields is part of the representation, and so of its ETag. */
export type ProductView = {
  id: number;
  sku: string;
  name: string;
  description: string;
  category: { id: number; name: string; slug: string };
  price_cents: number;
  currency: string;
  attributes: ProductAttributes;
  active: boolean;
  rating: { average: number; count: number };
  created_at: string;
  updated_at: string;
};

/** A product row with the category it is joined to. */
export type ProductWithCategory = ProductRow & { category: { id: number; name: string; slug: string } };

export function productView(row: ProductWithCategory): ProductView {
  return {
    id: Number(row.id),
    sku: row.sku,
    name: row.name,
    description: row.description,
    category: { id: Number(row.category.id), name: row.category.name, slug: row.category.slug },
    price_cents: row.price_cents,
    currency: row.currency,
    attributes: attributesOf(row.attributes),
    active: Boolean(row.active),
    rating: { average: Number(row.rating_average), count: row.rating_count },
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

export function productRepresentation(row: ProductWithCategory): Representation {
  const body = JSON.stringify(productView(row));
  return { body, entityTag: entityTag(body, row.version), lastModified: row.updated_at };
}

/**
 * A JSON column as an object with its names in order. MySQL gives the value and keeps its own order of names, MariaDB
 * gives the text as it was written.
 */
export function attributesOf(column: unknown): ProductAttributes {
  const value: unknown = typeof column === 'string' ? JSON.parse(column) : column;
  const entries = Object.entries(value as Record<string, AttributeValue>);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
