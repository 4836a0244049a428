import type { Dispatcher } from 'undici';
import { request } from 'undici';
import { createShopper, type Shopper } from '../traffic/shopper.ts';
import type { Shop } from './shop.ts';

export type Invitation = { accounts: number; anonymous: number; random: () => number; dispatcher: Dispatcher };

/** Registers and logs in so many customers through the proxies, and brings so many who never log in. */
export const inviteShoppers = async (
  shop: Shop,
  { accounts, anonymous, random, dispatcher }: Invitation,
): Promise<Shopper[]> => {
  const productIds = await someProducts(shop, dispatcher);
  const shared = { proxyUrls: shop.proxyUrls, operatorToken: shop.operatorToken, productIds, random, dispatcher };
  const run = Date.now();
  const customers = await Promise.all(
    Array.from({ length: accounts }, async (_, number) => {
      const accessToken = await registered(shop, `shopper${number + 1}.${run}@shop.example`, dispatcher);
      return createShopper({ ...shared, name: `customer ${number + 1}`, accessToken });
    }),
  );
  const strangers = Array.from({ length: anonymous }, (_, number) =>
    createShopper({ ...shared, name: `stranger ${number + 1}`, accessToken: null }),
  );
  return [...customers, ...strangers];
};

const registered = async (shop: Shop, email: string, dispatcher: Dispatcher): Promise<string> => {
  const password = 'correct horse battery staple';
  await post(shop, '/api/accounts', { email, password, display_name: 'A shopper' }, 201, dispatcher);
  const session = await post(shop, '/api/sessions', { email, password }, 201, dispatcher);
  return (session as { access_token: string }).access_token;
};

const post = async (
  shop: Shop,
  path: string,
  body: object,
  expected: number,
  dispatcher: Dispatcher,
): Promise<unknown> => {
  const answer = await request(`${shop.proxyUrls[0]}${path}`, {
    dispatcher,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await answer.body.text();
  if (answer.statusCode !== expected)
    throw new Error(`POST ${path}: expected ${expected}, got ${answer.statusCode}: ${text.slice(0, 300)}`);
  return JSON.parse(text);
};

const someProducts = async (shop: Shop, dispatcher: Dispatcher): Promise<number[]> => {
  const answer = await request(`${shop.proxyUrls[0]}/api/products?limit=100`, { dispatcher });
  const { items } = (await answer.body.json()) as { items: { id: number }[] };
  if (items.length === 0) throw new Error('the shop has no products; was it seeded?');
  return items.map((item) => item.id);
};
