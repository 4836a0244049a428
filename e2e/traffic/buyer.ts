import { type Action, createVisitor, type Visitor, type VisitorOptions } from './visitor.ts';

export type BuyerOptions = Omit<VisitorOptions, 'nextAction' | 'accessToken'> & {
  accessToken: string;
  productIds: readonly number[];
  random: () => number;
  /** Buys nothing, and looks at the stock and at the orders. Default false. */
  onlyLooks?: boolean;
};

/** Somebody who looks whether there is any, buys, one cart after the other, and now and then cancels an order. */
export const createBuyer = ({ productIds, random, onlyLooks = false, ...options }: BuyerOptions): Visitor => {
  const ordered: number[] = [];
  let inCart = 0;

  const fill = (): Action => ({
    name: 'put in cart',
    method: 'PUT',
    path: `/api/cart/items/${productIds[Math.floor(random() * productIds.length)]}`,
    body: { quantity: 1 + Math.floor(random() * 2) },
    fine: [200, 409],
    onAnswer: (status) => {
      if (status === 200) inCart += 1;
    },
  });
  const checkOut = (): Action => ({
    name: 'checkout',
    method: 'POST',
    path: '/api/checkout',
    body: { card_token: random() < 0.1 ? 'tok_decline' : 'tok_visa' },
    headers: { 'idempotency-key': crypto.randomUUID() },
    // 202: it takes longer than the request was held. 409: nothing left of an item. 402: the card was declined.
    fine: [201, 202, 402, 409],
    onAnswer: (status, body) => {
      inCart = 0;
      if (status === 201) ordered.push((body as { order: { id: number } }).order.id);
    },
  });
  const cancel = (id: number): Action => ({
    name: 'cancel an order',
    method: 'POST',
    path: `/api/orders/${id}/cancel`,
    // 409: it is on its way already.
    fine: [200, 409],
  });
  const look = (): Action => ({
    name: 'look at the stock',
    method: 'GET',
    path: `/api/inventory/${productIds[Math.floor(random() * productIds.length)]}`,
    fine: [200],
  });
  // Whoever has just bought reads from the side that took it for a while; who only looks is a canary's best reader.
  const listOrders = (): Action => ({
    name: 'look at the orders',
    method: 'GET',
    path: '/api/orders?limit=5',
    fine: [200],
  });
  const nextAction = (): Action => {
    if (onlyLooks) return random() < 0.5 ? look() : listOrders();
    if (random() < 0.3) return look();
    if (inCart >= 2) return checkOut();
    const id = random() < 0.15 ? ordered.shift() : undefined;
    return id === undefined ? fill() : cancel(id);
  };
  return createVisitor({ ...options, nextAction });
};
