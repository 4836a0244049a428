import { eventually } from '@strangler/platform/testing/eventually.ts';
import { request } from 'undici';
import { atLeast, atMost, type Bound } from '../../demo/bounds.ts';
import { brokenEquations, readStock } from '../../demo/inventory/stock-equation.ts';
import type { Progress } from '../../demo/progress.ts';
import { untilSettled } from '../../demo/scenarios/inventory.ts';
import type { Shop } from '../../demo/shop.ts';
import { someProducts } from '../../demo/shoppers.ts';
import { createSliceTour, watchableCanary } from '../../demo/slice-tour.ts';
import { type ShopStage, withShop } from '../../demo/with-shop.ts';
import { newSigningKey } from '../../parity/start-processes.ts';
import { tokenMaker } from '../../parity/tokens.ts';
import { createBuyer } from '../../traffic/buyer.ts';
import { seededRandom } from '../../traffic/random.ts';
import { spread } from '../../traffic/tally.ts';
import type { Visit } from '../../traffic/visitor.ts';
import { oversoldProducts } from './oversold.ts';

export type SoakStockOptions = {
  instance: string;
  seed: number;
  /** Customers, each with an account of the seed's. */
  buyers: number;
  /** Products that they want, all the same ones. */
  items: number;
  requestsPerSecond: number;
  progress: Progress;
  signal: AbortSignal;
};

export type SoakStockReport = {
  ok: boolean;
  bounds: Bound[];
  requests: { total: number; failed: number };
  buyers: { wanted: number; checkedOut: number };
  /** Checkouts that were paid, declined cards, and refusals for want of stock. */
  orders: { placed: number; declined: number; refused: number };
  oversold: number;
  notAddingUp: number;
  cutovers: number;
  rows: { compared: number; different: number };
  deadLettered: number;
  latencyMs: { p50: number; p99: number };
  failures: { action: string; failure: string }[];
};

const slice = 'inventory';

/** Pieces of each item at first: fewer than are wanted. */
const piecesEach = 12;

/** On a machine that is busy with other things a longer queue would only be time-outs of those who stand in it. */
const mostInFlight = 80;

/** Beyond this nobody is waited for who has not checked out yet. */
const everybodyWithinMs = 300_000;

/**
 * Very many buyers want the same few items while the stock goes to its service and all the way back, under their hands. Whatever is
 * asked of whom: nothing is sold that is not there, every piece is somewhere, and no request fails.
 */
export const soakStock = (options: SoakStockOptions): Promise<SoakStockReport> => {
  const { buyers, instance, progress, signal } = options;
  const signingKey = newSigningKey();
  return withShop(
    // The seed makes an account for every two products.
    { instance, progress, signal, keep: false, products: 2 * (buyers + 1) },
    {
      ...{ stage: 'monolith', inventoryInstances: 2 },
      ...{ overlays: { [slice]: watchableCanary }, reads: ['monolith', 'inventory'] },
      // The buyers' tokens are signed here: to log a thousand customers in is to hash a thousand passwords.
      env: { monolith: { JWT_PRIVATE_KEY: signingKey } },
    },
    (stage) => sell({ ...stage, signingKey }, options),
  );
};

type Stage = ShopStage<'monolith' | 'inventory'> & { signingKey: string };

const sell = async (
  { shop, flags, pools, connections, signingKey }: Stage,
  { seed, buyers, items, requestsPerSecond, instance, progress, signal }: SoakStockOptions,
): Promise<SoakStockReport> => {
  const random = seededRandom(seed);
  const token = tokenMaker(signingKey, new Date());
  const admin = await token({ sub: 1, role: 'admin', exp: 3_600 });
  const productIds = (await someProducts(shop, connections)).slice(0, items);
  if (productIds.length < items) throw new Error(`expected ${items} products on sale, found ${productIds.length}`);
  await makeScarce(shop, productIds, admin);

  const shared = { proxyUrls: shop.proxyUrls, operatorToken: shop.operatorToken, dispatcher: connections };
  const visitors = await Promise.all(
    Array.from({ length: buyers }, async (_, at) => {
      // 1 is the administrator.
      const accessToken = await token({ sub: at + 2, role: 'customer', exp: 3_600 });
      return createBuyer({ ...shared, name: `buyer ${at + 1}`, accessToken, productIds, random });
    }),
  );
  /** Those who come: everybody, and in the end whoever has not been served yet. */
  const coming = [...visitors];
  let isClosing = false;
  const orders = { placed: 0, declined: 0, refused: 0 };
  const checkedOut = new Set<string>();
  const outcomes: Record<number, keyof typeof orders> = {
    201: 'placed',
    202: 'placed',
    402: 'declined',
    409: 'refused',
  };
  const onVisit = ({ action, status, shopper }: Visit): void => {
    const outcome = action === 'checkout' && status !== null ? outcomes[status] : undefined;
    if (outcome === undefined) return;
    orders[outcome] += 1;
    checkedOut.add(shopper);
    if (isClosing) letOut();
  };
  const letOut = (): void => {
    const left = visitors.filter(({ name }) => !checkedOut.has(name));
    coming.splice(0, coming.length, ...(left.length > 0 ? left : visitors));
  };
  const tour = createSliceTour({
    ...{ slice, shop, flags, visitors: coming, random, onVisit, mostInFlight },
    options: {
      ...{ requestsPerSecond, products: items, secondsPerStep: 5, instance, keep: false, progress, signal },
    },
  });

  const figures = { notAddingUp: 0, oversold: 0 };
  const before = await readStock(pools.monolith, pools.monolith, { hasReservations: false });
  /** At rest: nobody buys, and whoever had to be told of an order has been. */
  const addUp = async (): Promise<void> => {
    const isService = (await tour.flag()).writes.owner === 'service';
    await eventually(() => untilSettled(pools, isService), { withinMs: 120_000, signal });
    const owner = isService ? pools.inventory : pools.monolith;
    const now = await readStock(owner, pools.monolith, { hasReservations: isService });
    const broken = brokenEquations(before, now);
    for (const { productId, what, expected, found } of broken)
      progress.say(`FOUND product ${productId}: ${what}: expected ${expected}, found ${found}`);
    const oversold = oversoldProducts(before, now);
    figures.notAddingUp += broken.length;
    figures.oversold += oversold.length;
    progress.say(
      `  at the ${isService ? 'service' : 'monolith'}: ${orders.placed} orders, ${orders.refused} refusals, ${broken.length} products do not add up, ${oversold.length} oversold`,
    );
    await tour.verify();
  };

  await tour.busy(async () => {
    await tour.watch();
    await tour.toService(async () => {});
  });
  await addUp();
  await tour.busy(async () => {
    await tour.watch();
    await tour.backToMonolith();
    // Whoever has not been served is, before it closes.
    isClosing = true;
    letOut();
    await eventually(() => checkedOut.size === buyers, { withinMs: everybodyWithinMs, signal }).catch(() => {});
    signal.throwIfAborted();
  });
  await addUp();
  const { total, failed, durationsMs, failures } = tour.tally();
  const { cutovers, compared, different, deadLettered } = tour.figures;
  const bounds = [
    atMost('failed requests', failed, 0),
    atMost('products that were oversold', figures.oversold, 0),
    atMost('products whose stock does not add up', figures.notAddingUp, 0),
    atMost('rows that differ', different, 0),
    atMost('dead letters', deadLettered, 0),
    atLeast('buyers who have checked out', checkedOut.size, buyers),
    atLeast('orders', orders.placed, items),
    atLeast('refusals for want of stock', orders.refused, 1),
    atLeast('cut-overs', cutovers, 2),
  ];
  return {
    ok: bounds.every(({ ok }) => ok),
    bounds,
    requests: { total, failed },
    buyers: { wanted: buyers, checkedOut: checkedOut.size },
    orders,
    ...figures,
    cutovers,
    rows: { compared, different },
    deadLettered,
    latencyMs: spread(durationsMs),
    failures: failures.map(({ action, failure }) => ({ action, failure })),
  };
};

/** So many pieces of each, and no more. */
const makeScarce = async (shop: Shop, productIds: readonly number[], admin: string): Promise<void> => {
  const url = shop.proxyUrls[0] ?? '';
  const ask = async (path: string, body?: object): Promise<{ available: number }> => {
    const { statusCode, body: answer } = await request(`${url}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const json = await answer.json();
    if (statusCode >= 300)
      throw new Error(`${path}: expected it to be done, found ${statusCode}: ${JSON.stringify(json)}`);
    return json as { available: number };
  };
  for (const id of productIds) {
    const { available } = await ask(`/api/inventory/${id}`);
    const delta = piecesEach - available;
    if (delta === 0) continue;
    const reason = delta > 0 ? 'put stock in' : 'take stock out';
    await ask(`/api/inventory/${id}/adjustments`, { delta, reason });
  }
};
