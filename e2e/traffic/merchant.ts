import { pick, type Weighted } from './random.ts';
import { type Action, createVisitor, type Visitor, type VisitorOptions } from './visitor.ts';

/** A category as the shop shows it. */
export type Category = { id: number; parent_id: number | null; name: string; slug: string };

export type MerchantOptions = Omit<VisitorOptions, 'nextAction' | 'accessToken'> & {
  /** Of an account that may change the catalogue. */
  accessToken: string;
  /** Products whose prices change; they are never archived, so that shoppers always find them. */
  productIds: readonly number[];
  categories: readonly Category[];
  random: () => number;
};

/** Somebody who runs the catalogue: changes prices, brings products in and archives them, renames categories. */
export const createMerchant = ({ productIds, categories, random, ...options }: MerchantOptions): Visitor => {
  const one = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)]!;
  const own: number[] = [];
  let made = 0;

  const changePrice = (): Action => ({
    name: 'change a price',
    method: 'PATCH',
    path: `/api/products/${one(productIds)}`,
    headers: { 'if-match': '*' },
    body: { price_cents: 100 + Math.floor(random() * 50_000) },
    fine: [200],
  });
  const createProduct = (): Action => {
    made += 1;
    return {
      name: 'create a product',
      method: 'POST',
      path: '/api/products',
      body: {
        sku: `NEW-${crypto.randomUUID().toUpperCase()}`,
        name: `New arrival ${made} – “très chic” 🧶`,
        description: 'Just in.',
        category_id: one(categories).id,
        price_cents: 500 + Math.floor(random() * 10_000),
        attributes: { colour: 'blue', weight_kg: 0.5 },
      },
      fine: [201],
      onAnswer: (_status, body) => void own.push((body as { id: number }).id),
    };
  };
  const archiveProduct = (): Action => {
    const id = own.shift();
    if (id === undefined) return createProduct();
    return {
      name: 'archive a product',
      method: 'DELETE',
      path: `/api/products/${id}`,
      headers: { 'if-match': '*' },
      fine: [204],
    };
  };
  const renameCategory = (): Action => {
    const { id, name, slug, parent_id } = one(categories);
    return {
      name: 'rename a category',
      method: 'PUT',
      path: `/api/categories/${id}`,
      body: { name: `${name.slice(0, 80)} (${Math.floor(random() * 1000)})`, slug, parent_id },
      fine: [200],
    };
  };
  const choices: Weighted<() => Action> = [
    [6, changePrice],
    [2, createProduct],
    [1, archiveProduct],
    [1, renameCategory],
  ];
  return createVisitor({ ...options, nextAction: () => pick(choices, random)() });
};
