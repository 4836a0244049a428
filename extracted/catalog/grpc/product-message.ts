import type { AttributeValue } from '../products/product-fields.ts';
import type { ProductView } from '../products/product-representation.ts';

/** The message `catalog.v1.Product`. */
export type ProductMessage = Omit<ProductView, 'attributes'> & { attributes: AttributeMessage[]; etag: string };
type AttributeMessage = { name: string } & ({ text: string } | { number: number } | { truth: boolean });

/** The message that says what this representation says. */
export function productMessage({ body, entityTag }: { body: string; entityTag: string }): ProductMessage {
  const view = JSON.parse(body) as ProductView;
  const attributes = Object.entries(view.attributes).map(([name, value]) => ({ name, ...memberOf(value) }));
  return { ...view, attributes, etag: entityTag };
}

function memberOf(value: AttributeValue): { text: string } | { number: number } | { truth: boolean } {
  if (typeof value === 'string') return { text: value };
  return typeof value === 'number' ? { number: value } : { truth: value };
}
