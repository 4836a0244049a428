import { lineOfText, paragraphs } from '@strangler/platform/http/text.ts';
import { z } from 'zod';

export const MAX_ATTRIBUTES = 50;

/** What a client sends of a product. */
export type ProductFields = {
  sku: string;
  name: string;
  description: string;
  category_id: number;
  price_cents: number;
  currency: string;
  attributes: ProductAttributes;
  active: boolean;
};

export type AttributeValue = string | number | boolean;
export type ProductAttributes = Record<string, AttributeValue>;

const sku = z
  .string()
  .regex(/^[A-Z0-9][A-Z0-9._-]{0,63}$/, 'must be 1 to 64 of A-Z 0-9 . _ - beginning with a letter or digit');
const name = lineOfText({ min: 1, max: 200 });
const description = paragraphs({ min: 0, max: 10_000 });
const categoryId = z.int().min(1);
const priceCents = z.int().min(0).max(100_000_000);
const currency = z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code such as EUR');
const attributeName = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,63}$/, 'must be 1 to 64 of a-z 0-9 _ beginning with a letter');
const attributeText = z
  .string()
  .max(500)
  .refine((text) => text.isWellFormed() && !text.includes('\0'), 'must be well-formed Unicode text');
const attributeValue = z.union([attributeText, z.number(), z.boolean()]);
const attributes = z
  .record(attributeName, attributeValue)
  .refine((all) => Object.keys(all).length <= MAX_ATTRIBUTES, `must have at most ${MAX_ATTRIBUTES} entries`);

/** POST and PUT: the whole product. What has a default may be left out. */
export const wholeProduct = z.strictObject({
  sku,
  name,
  description: description.default(''),
  category_id: categoryId,
  price_cents: priceCents,
  currency: currency.default('EUR'),
  attributes: attributes.default({}),
  active: z.boolean().default(true),
});

/** PATCH: a JSON merge patch (RFC 7396). `null` removes an attribute; no other field can be removed. */
export const productPatch = z
  .strictObject({
    sku,
    name,
    description,
    category_id: categoryId,
    price_cents: priceCents,
    currency,
    attributes: z.record(attributeName, attributeValue.nullable()),
    active: z.boolean(),
  })
  .partial();

export type ProductPatch = z.infer<typeof productPatch>;

/** The attributes after a merge patch (RFC 7396 section 2). */
export function patchAttributes(
  current: ProductAttributes,
  patch: Record<string, AttributeValue | null> | undefined,
): ProductAttributes {
  if (!patch) return current;
  const merged = new Map<string, AttributeValue>(Object.entries(current));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, value);
  }
  return Object.fromEntries(merged);
}
