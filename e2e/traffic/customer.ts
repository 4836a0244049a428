import { pick, type Weighted } from './random.ts';
import { type Action, createVisitor, type Visitor, type VisitorOptions } from './visitor.ts';

export type CustomerOptions = Omit<VisitorOptions, 'nextAction' | 'accessToken'> & {
  accessToken: string;
  productIds: readonly number[];
  random: () => number;
  /** The card for the next checkout; one in ten is declined unless told. */
  cardToken?: () => string;
  /** Told of each order that was acknowledged. */
  onOrdered?: (orderId: number) => void;
  /** Sends a checkout that came to no answer again, under its key. Default false: it is a failure. */
  repeats?: boolean;
};

type Listed = { items: { id: number; read_at: string | null; payment?: { id: number } | null }[] };

/** Somebody who buys, cancels now and then, and looks at what has become of it: notifications, orders, payments. */
export const createCustomer = ({
  productIds,
  random,
  cardToken = () => (random() < 0.1 ? 'tok_decline' : 'tok_visa'),
  onOrdered,
  repeats = false,
  ...options
}: CustomerOptions): Visitor => {
  const ordered: number[] = [];
  const unread: number[] = [];
  const paymentIds: number[] = [];
  let inCart = 0;
  let cannotBeSold = false;
  /** A checkout that came to no answer, and is sent again as it was. */
  let unanswered: { key: string; cardToken: string } | null = null;

  const fill = (): Action => ({
    name: 'put in cart',
    method: 'PUT',
    path: `/api/cart/items/${productIds[Math.floor(random() * productIds.length)]}`,
    body: { quantity: 1 },
    fine: [200, 409],
    onAnswer: (status) => {
      if (status === 200) inCart += 1;
    },
  });
  const checkOut = (sent = { key: crypto.randomUUID() as string, cardToken: cardToken() }): Action => ({
    name: 'checkout',
    method: 'POST',
    path: '/api/checkout',
    body: { card_token: sent.cardToken },
    headers: { 'idempotency-key': sent.key },
    // 202: it takes longer than the request was held. 409: nothing left of an item. 402: the card was declined.
    // 502: whoever was asked died in the midst of it.
    fine: [201, 202, 402, 409, ...(repeats ? [502] : [])],
    onAnswer: (status, body) => {
      unanswered = repeats && status === 502 ? sent : null;
      if (unanswered !== null) return;
      inCart = 0;
      cannotBeSold = status === 409;
      if (status !== 201) return;
      const { id } = (body as { order: { id: number } }).order;
      ordered.push(id);
      onOrdered?.(id);
    },
  });
  const empty = (): Action => ({ name: 'empty the cart', method: 'DELETE', path: '/api/cart', fine: [204] });
  const cancel = (id: number): Action => ({
    name: 'cancel an order',
    method: 'POST',
    path: `/api/orders/${id}/cancel`,
    fine: [200, 409, ...(repeats ? [502] : [])],
    onAnswer: (status) => {
      if (status === 502) ordered.unshift(id);
    },
  });
  const listNotifications = (): Action => ({
    name: 'look at the notifications',
    method: 'GET',
    path: '/api/notifications?limit=10',
    fine: [200],
    onAnswer: (_status, body) => {
      const ids = (body as Listed).items.filter(({ read_at }) => read_at === null).map(({ id }) => id);
      unread.splice(0, unread.length, ...ids);
    },
  });
  const markRead = (id: number): Action => ({
    name: 'mark one as read',
    method: 'POST',
    path: `/api/notifications/${id}/read`,
    // 404: it was listed by the other side, which numbers its own.
    fine: [200, 404],
  });
  const listOrders = (): Action => ({
    name: 'look at the orders',
    method: 'GET',
    path: '/api/orders?limit=5',
    fine: [200],
    onAnswer: (_status, body) => {
      const ids = (body as Listed).items.flatMap(({ payment }) => (payment ? [payment.id] : []));
      paymentIds.splice(0, paymentIds.length, ...ids);
    },
  });
  const showPayment = (id: number): Action => ({
    name: 'look at a payment',
    method: 'GET',
    path: `/api/payments/${id}`,
    fine: [200],
  });

  const choices: Weighted<() => Action> = [
    [3, listNotifications],
    [1, () => (unread.length > 0 ? markRead(unread.shift()!) : listNotifications())],
    [1, listOrders],
    [
      3,
      () => (paymentIds.length > 0 ? showPayment(paymentIds[Math.floor(random() * paymentIds.length)]!) : listOrders()),
    ],
    [3, fill],
    [3, () => (inCart > 0 ? checkOut() : fill())],
    [1, () => (ordered.length > 0 ? cancel(ordered.shift()!) : fill())],
  ];
  const nextAction = (): Action => {
    if (unanswered !== null) return checkOut(unanswered);
    if (!cannotBeSold) return pick(choices, random)();
    cannotBeSold = false;
    return empty();
  };
  return createVisitor({ ...options, nextAction });
};
