import { operatorTokenHeader, reasonHeader, sideHeader } from '@strangler/platform/contracts/headers.ts';
import { Agent, type Dispatcher, request } from 'undici';
import { pick, type Weighted } from './random.ts';

/** What one request of a shopper came to. */
export type Visit = {
  shopper: string;
  action: string;
  access: 'read' | 'write';
  /** Whether the route belongs to the slice under demonstration, as the proxy's answer says. */
  side: 'monolith' | 'service' | null;
  reason: string | null;
  status: number | null;
  /** Why it counts as failed; null where it went well. */
  failure: string | null;
  startedAtMs: number;
  durationMs: number;
};

type Action = {
  name: string;
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  body?: object;
  headers?: Record<string, string>;
  /** Statuses that are answers of the shop, and not failures of the system. */
  fine: readonly number[];
};

export type ShopperOptions = {
  name: string;
  /** Every proxy, asked in turn, as a load balancer would. */
  proxyUrls: readonly string[];
  /** Null for a shopper who never logs in and is known by the proxy's cookie. */
  accessToken: string | null;
  operatorToken: string;
  productIds: readonly number[];
  random: () => number;
  dispatcher: Dispatcher;
};

/** Somebody who browses the shop, and sometimes buys. */
export type Shopper = { name: string; visit(): Promise<Visit> };

const answerWithinMs = 10_000;

export const createShopper = (options: ShopperOptions): Shopper => {
  const { name, proxyUrls, accessToken, operatorToken, productIds, random, dispatcher } = options;
  let cookie: string | null = null;
  let turns = 0;
  const product = (): number => productIds[Math.floor(random() * productIds.length)]!;

  const visit = async (): Promise<Visit> => {
    const action = pick(accessToken === null ? browsing : buying, random)(product, random);
    const startedAt = performance.now();
    const seen: Visit = {
      shopper: name,
      action: action.name,
      access: action.method === 'GET' ? 'read' : 'write',
      side: null,
      reason: null,
      status: null,
      failure: null,
      startedAtMs: performance.timeOrigin + startedAt,
      durationMs: 0,
    };
    turns += 1;
    try {
      const answer = await request(`${proxyUrls[turns % proxyUrls.length]}${action.path}`, {
        dispatcher,
        method: action.method,
        headersTimeout: answerWithinMs,
        bodyTimeout: answerWithinMs,
        headers: {
          [operatorTokenHeader]: operatorToken,
          ...(accessToken === null ? {} : { authorization: `Bearer ${accessToken}` }),
          ...(cookie === null ? {} : { cookie }),
          ...(action.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...action.headers,
        },
        ...(action.body === undefined ? {} : { body: JSON.stringify(action.body) }),
      });
      const text = await answer.body.text();
      seen.status = answer.statusCode;
      seen.side = oneOf(answer.headers[sideHeader]);
      seen.reason = (answer.headers[reasonHeader] as string | undefined) ?? null;
      cookie = stickyCookieOf(answer.headers['set-cookie']) ?? cookie;
      if (!action.fine.includes(answer.statusCode)) seen.failure = `status ${answer.statusCode}: ${text.slice(0, 200)}`;
      else if (answer.statusCode === 200 && !isJson(text)) seen.failure = `not JSON: ${text.slice(0, 100)}`;
    } catch (error) {
      const { code, message } = error as Error & { code?: string };
      seen.failure = `${code ?? 'error'}: ${message}`;
    }
    seen.durationMs = performance.now() - startedAt;
    return seen;
  };
  return { name, visit };
};

/** Connections that shoppers share; a browser's pool in front of each proxy. */
export const shopperConnections = (): Agent => new Agent({ connections: 64, keepAliveTimeout: 10_000 });

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

const oneOf = (value: string | string[] | undefined): Visit['side'] =>
  value === 'monolith' || value === 'service' ? value : null;

const stickyCookieOf = (header: string | string[] | undefined): string | null => {
  const cookies = header === undefined ? [] : [header].flat();
  return cookies.find((one) => one.startsWith('strangler_sid='))?.split(';')[0] ?? null;
};

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};
