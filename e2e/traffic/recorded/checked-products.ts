import { createHash } from 'node:crypto';
import { type Dispatcher, request } from 'undici';
import type { HistoryLog } from '../../checker/history-log.ts';
import { outcomeOf } from './outcome.ts';

/** A product whose every write is logged, by its key in the history. */
export type CheckedProduct = { id: number; sku: string; key: string };

/** What begins the SKU of every product that the checker knows. */
export const checkedPrefix = 'CHECKED-';
/** Of those that only the price job writes. */
export const countedPrefix = `${checkedPrefix}JOB-`;

export const productKey = (sku: string): string => `product ${sku}`;
export const reviewKey = (productId: number | string, accountId: number | string): string =>
  `review ${productId}/${accountId}`;

/** A write names itself by the price, and by a name that says the same: of a row that shows two writes one half is torn. */
export const nameOfWrite = (priceCents: number): string => `Write ${priceCents}`;

/** Prices that nobody has set before, below those of the job's products. */
export type Prices = { next(): number };
export const countPrices = (): Prices => {
  let last = 1_000;
  return {
    next: () => {
      last += 1;
      return last;
    },
  };
};

/** What no other product costs: the job's rule picks its products by it. */
export const countedPriceCents = 99_999_999;

export type CheckedShop = { proxyUrls: readonly string[]; adminToken: string; operatorToken: string };

/** Creates so many products through the proxies, each creation the first write of its key's history. */
export const createChecked = async (
  { proxyUrls, adminToken }: CheckedShop,
  {
    log,
    count,
    prices,
    categoryId,
    dispatcher,
  }: {
    log: HistoryLog;
    count: number;
    prices: Prices;
    categoryId: number;
    dispatcher: Dispatcher;
  },
): Promise<CheckedProduct[]> => {
  const products: CheckedProduct[] = [];
  for (let n = 0; n < count; n += 1) {
    const price = prices.next();
    const sku = `${checkedPrefix}${uniqueSku()}`;
    const end = log.begin({
      client: 'setup',
      op: 'create product',
      kind: 'write',
      key: productKey(sku),
      value: `${price}`,
    });
    const body = await create(proxyUrls[0]!, adminToken, dispatcher, { sku, price, categoryId }, end);
    products.push({ id: body.id, sku, key: productKey(sku) });
  }
  return products;
};

/** Creates products that only the price job will write; they are not in the log, and start at version 1. */
export const createCounted = async (
  { proxyUrls, adminToken }: CheckedShop,
  { count, categoryId, dispatcher }: { count: number; categoryId: number; dispatcher: Dispatcher },
): Promise<CheckedProduct[]> => {
  const products: CheckedProduct[] = [];
  for (let n = 0; n < count; n += 1) {
    const sku = `${countedPrefix}${uniqueSku()}`;
    const wanted = { sku, price: countedPriceCents, categoryId };
    const { id } = await create(proxyUrls[0]!, adminToken, dispatcher, wanted, () => {});
    products.push({ id, sku, key: productKey(sku) });
  }
  return products;
};

export const uniqueSku = (): string =>
  createHash('sha256').update(crypto.randomUUID()).digest('hex').slice(0, 16).toUpperCase();

/** The body of the request that creates a product. */
export const newProduct = (sku: string, price: number, categoryId: number): object => ({
  sku,
  name: nameOfWrite(price),
  category_id: categoryId,
  price_cents: price,
});

const create = async (
  proxyUrl: string,
  adminToken: string,
  dispatcher: Dispatcher,
  { sku, price, categoryId }: { sku: string; price: number; categoryId: number },
  end: (ending: ReturnType<typeof outcomeOf>) => unknown,
): Promise<{ id: number }> => {
  const answer = await request(`${proxyUrl}/api/products`, {
    dispatcher,
    method: 'POST',
    headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
    body: JSON.stringify(newProduct(sku, price, categoryId)),
  });
  const text = await answer.body.text();
  end(outcomeOf({ kind: 'answer', status: answer.statusCode, headers: answer.headers, body: text }));
  if (answer.statusCode !== 201)
    throw new Error(`expected product ${sku} to be created, got ${answer.statusCode}: ${text}`);
  return JSON.parse(text) as { id: number };
};
