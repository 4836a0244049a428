import { SEED_PASSWORD } from '@strangler/monolith/modules/accounts/seed.ts';
import type { Dispatcher } from 'undici';
import { request } from 'undici';
import { type Category, createMerchant } from '../traffic/merchant.ts';
import { createReviewer } from '../traffic/reviewer.ts';
import { createShopper } from '../traffic/shopper.ts';
import type { Visitor } from '../traffic/visitor.ts';
import type { Shop } from './shop.ts';

export type Invitation = { accounts: number; anonymous: number; random: () => number; dispatcher: Dispatcher };

/** Registers and logs in so many customers through the proxies, and brings so many who never log in. */
export const inviteShoppers = async (
  shop: Shop,
  { accounts, anonymous, random, dispatcher }: Invitation,
): Promise<Visitor[]> => {
  const productIds = await someProducts(shop, dispatcher);
  const shared = { proxyUrls: shop.proxyUrls, operatorToken: shop.operatorToken, productIds, random, dispatcher };
  const customers = (await logInCustomers(shop, accounts, 'shopper', dispatcher)).map((accessToken, number) =>
    createShopper({ ...shared, name: `customer ${number + 1}`, accessToken }),
  );
  const strangers = Array.from({ length: anonymous }, (_, number) =>
    createShopper({ ...shared, name: `stranger ${number + 1}`, accessToken: null }),
  );
  return [...customers, ...strangers];
};

export type WriterInvitation = {
  merchants: number;
  reviewers: number;
  /** Products whose prices change; all unless told. */
  pricedIds?: readonly number[];
  random: () => number;
  dispatcher: Dispatcher;
};

/** Brings people who keep changing the catalogue: so many at the admin's desk, and so many customers who review. */
export const inviteWriters = async (
  shop: Shop,
  { merchants, reviewers, pricedIds, random, dispatcher }: WriterInvitation,
): Promise<Visitor[]> => {
  const productIds = pricedIds ?? (await someProducts(shop, dispatcher));
  const shared = { proxyUrls: shop.proxyUrls, operatorToken: shop.operatorToken, productIds, random, dispatcher };
  const accessToken = await logInAdmin(shop, dispatcher);
  const categories = await allCategories(shop, dispatcher);
  const desks = Array.from({ length: merchants }, (_, number) =>
    createMerchant({ ...shared, name: `merchant ${number + 1}`, accessToken, categories }),
  );
  const customers = (await logInCustomers(shop, reviewers, 'reviewer', dispatcher)).map((token, number) =>
    createReviewer({ ...shared, name: `reviewer ${number + 1}`, accessToken: token }),
  );
  return [...desks, ...customers];
};

/** An access token of the seed's admin. */
export const logInAdmin = async (shop: Shop, dispatcher: Dispatcher): Promise<string> =>
  tokenFor(shop, { email: 'admin@shop.example', password: SEED_PASSWORD }, dispatcher);

/** Puts so much of these products in stock that nobody has to go without. */
export const fillShelves = async (shop: Shop, productIds: readonly number[], dispatcher: Dispatcher): Promise<void> => {
  const accessToken = await logInAdmin(shop, dispatcher);
  for (const id of productIds) {
    await ask(shop, `/api/inventory/${id}/adjustments`, 201, {
      dispatcher,
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` },
      body: JSON.stringify({ delta: 100_000, reason: 'for the demo' }),
    });
  }
};

/** Ids of up to 100 products that are on sale. */
export const someProducts = async (shop: Shop, dispatcher: Dispatcher): Promise<number[]> => {
  const { items } = (await get(shop, '/api/products?limit=100', dispatcher)) as { items: { id: number }[] };
  if (items.length === 0) throw new Error('the shop has no products; was it seeded?');
  return items.map((item) => item.id);
};

type Tree = Category & { children: Tree[] };

const allCategories = async (shop: Shop, dispatcher: Dispatcher): Promise<Category[]> => {
  const flat = (trees: Tree[]): Category[] => trees.flatMap(({ children, ...node }) => [node, ...flat(children)]);
  return flat(((await get(shop, '/api/categories', dispatcher)) as { items: Tree[] }).items);
};

/** Accounts that are registered side by side. Hashing a password is work on purpose: more would only wait for each other. */
const atTheDoor = 4;

/** Registers so many accounts and gives an access token of each. */
export const logInCustomers = async (
  shop: Shop,
  count: number,
  role: string,
  dispatcher: Dispatcher,
): Promise<string[]> => {
  const run = Date.now();
  const password = 'correct horse battery staple';
  const tokens: string[] = [];
  let next = 1;
  const comeIn = async (): Promise<void> => {
    while (next <= count) {
      const email = `${role}${next++}.${run}@shop.example`;
      await post(shop, '/api/accounts', { email, password, display_name: `A ${role}` }, dispatcher);
      tokens.push(await tokenFor(shop, { email, password }, dispatcher));
    }
  };
  await Promise.all(Array.from({ length: atTheDoor }, comeIn));
  return tokens;
};

const tokenFor = async (
  shop: Shop,
  credentials: { email: string; password: string },
  dispatcher: Dispatcher,
): Promise<string> =>
  ((await post(shop, '/api/sessions', credentials, dispatcher)) as { access_token: string }).access_token;

const post = (shop: Shop, path: string, body: object, dispatcher: Dispatcher): Promise<unknown> =>
  ask(shop, path, 201, {
    dispatcher,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

const get = (shop: Shop, path: string, dispatcher: Dispatcher): Promise<unknown> =>
  ask(shop, path, 200, { dispatcher });

const ask = async (
  shop: Shop,
  path: string,
  expected: number,
  options: NonNullable<Parameters<typeof request>[1]>,
): Promise<unknown> => {
  const answer = await request(`${shop.proxyUrls[0]}${path}`, options);
  const text = await answer.body.text();
  if (answer.statusCode !== expected)
    throw new Error(
      `${options.method ?? 'GET'} ${path}: expected ${expected}, got ${answer.statusCode}: ${text.slice(0, 300)}`,
    );
  return JSON.parse(text);
};
