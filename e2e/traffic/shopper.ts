import { pick, type Weighted } from './random.ts';
import { type Action, createVisitor, type Visitor, type VisitorOptions } from './visitor.ts';

export type ShopperOptions = Omit<VisitorOptions, 'nextAction'> & {
  productIds: readonly number[];
  random: () => number;
};

/** Somebody who browses the shop, and sometimes buys. */
export const createShopper = ({ productIds, random, ...options }: ShopperOptions): Visitor => {
  const product = (): number => productIds[Math.floor(random() * productIds.length)]!;
  const choices = options.accessToken === null ? browsing : buying;
  return createVisitor({ ...options, nextAction: () => pick(choices, random)(product, random) });
};

type MakeAction = (product: () => number, random: () => number) => Action;

const read = (name: string, path: string): Action => ({ name, method: 'GET', path, fine: [200] });
const sorts = ['name', '-name', 'price', '-price', 'rating', 'newest'];

const browsing: Weighted<MakeAction> = [
  [6, (product) => read('product', `/api/products/${product()}`)],
  [3, (_, random) => read('product list', `/api/products?limit=20&sort=${sorts[Math.floor(random() * sorts.length)]}`)],
  [2, (product) => read('reviews', `/api/products/${product()}/reviews`)],
  [1, () => read('categories', '/api/categories')],
  [1, (_, random) => read('price filter', `/api/products?max_price_cents=${1000 + Math.floor(random() * 50_000)}`)],
];

const buying: Weighted<MakeAction> = [
  ...browsing,
  [
    1.5,
    (product) => ({
      name: 'put in cart',
      method: 'PUT',
      path: `/api/cart/items/${product()}`,
      body: { quantity: 1 },
      fine: [200, 409],
    }),
  ],
  [0.5, () => read('cart', '/api/cart')],
  [0.5, () => read('orders', '/api/orders')],
  [
    0.7,
    () => ({
      name: 'checkout',
      method: 'POST',
      path: '/api/checkout',
      body: { card_token: 'tok_visa' },
      headers: { 'idempotency-key': crypto.randomUUID() },
      // 409: nothing left of an item, or an empty cart. 402: the card was declined.
      fine: [201, 402, 409],
    }),
  ],
  [
    0.5,
    (product, random) => ({
      name: 'write a review',
      method: 'POST',
      path: `/api/products/${product()}/reviews`,
      body: {
        rating: 1 + Math.floor(random() * 5),
        title: 'As described',
        body: 'It arrived in time and does what it should.',
      },
      // 409: one review a customer and product.
      fine: [201, 409],
    }),
  ],
];
