import { decodeJwt } from 'jose';
import { createBuyer } from '../../traffic/buyer.ts';
import { createCustomer } from '../../traffic/customer.ts';
import { seededRandom } from '../../traffic/random.ts';
import { spread } from '../../traffic/tally.ts';
import { atLeast, atMost, type Bound } from '../bounds.ts';
import type { BrokenEquation } from '../inventory/stock-equation.ts';
import { type LedgerPools, openLedger } from '../orders/ledger.ts';
import { canaryOfFew, patientWithNobody, someCard } from '../orders/setting.ts';
import { type BookFault, type Books, totalsOf } from '../payments/books.ts';
import type { ScenarioOptions } from '../scenario-options.ts';
import { fillShelves, logInCustomers, someProducts } from '../shoppers.ts';
import { createSliceTour, holderOf, type SliceTour } from '../slice-tour.ts';
import { countRows, type ShopStage, withShop } from '../with-shop.ts';

export type OrdersReport = {
  ok: boolean;
  bounds: Bound[];
  requests: { total: number; failed: number };
  orders: { acknowledged: number; confirmed: number; cancelled: number; placedByService: number; lost: number };
  money: { takenCents: number; refundedCents: number; confirmedCents: number };
  stockBroken: BrokenEquation[];
  faults: BookFault[];
  cutovers: number;
  killed: string[];
  rows: { compared: number; different: number };
  deadLettered: number;
  latencyMs: { p50: number; p99: number };
  failures: { action: string; failure: string }[];
};

const slice = 'orders';
/** The orders ask these, and nobody else: they have to have moved before. */
const before = ['inventory', 'payments', 'notifications'] as const;

/**
 * Checkout and orders to their service, back, to it again, and there for good, after everything that they ask has moved: a transaction becomes a saga, and a
 * saga's orders become a transaction's, while customers buy and cancel and the service is killed. Each time that nobody buys, orders,
 * stock and the provider's books are added up, and every order that was acknowledged is looked for.
 */
export const runOrdersScenario = (options: ScenarioOptions): Promise<OrdersReport> =>
  withShop(
    options,
    {
      ...{ stage: 'monolith', env: patientWithNobody },
      ...{ inventoryInstances: 1, paymentsInstances: 1, notificationsInstances: 1, ordersInstances: 2 },
      overlays: Object.fromEntries([...before, slice].map((name) => [name, canaryOfFew])),
      reads: ['monolith', 'orders', 'inventory', 'payments'],
    },
    (stage) => tell(stage, options),
  );

const tell = async (
  { shop, flags, pools, connections }: ShopStage<keyof LedgerPools>,
  options: ScenarioOptions,
): Promise<OrdersReport> => {
  const { progress, signal } = options;
  const { proxyUrls, operatorToken, system } = shop;
  const random = seededRandom(42);
  const productIds = (await someProducts(shop, connections)).slice(0, 20);
  await fillShelves(shop, productIds, connections);
  const tokens = await logInCustomers(shop, 12, 'customer', connections);
  const buyers = await logInCustomers(shop, 6, 'buyer', connections);
  const accountIds = [...tokens, ...buyers].map((token) => Number(decodeJwt(token).sub));
  const acknowledged = new Set<number>();
  const shared = { proxyUrls, operatorToken, productIds, random, dispatcher: connections };
  const buying = {
    cardToken: () => someCard(random),
    onOrdered: (id: number) => acknowledged.add(id),
    repeats: true,
  };
  const visitors = [
    ...tokens.map((accessToken, at) =>
      createCustomer({ ...shared, ...buying, name: `customer ${at + 1}`, accessToken }),
    ),
    // They look at the stock before they buy.
    ...buyers.map((accessToken, at) =>
      createBuyer({ ...shared, name: `buyer ${at + 1}`, accessToken, onlyLooks: true }),
    ),
  ];
  const tourOf = (name: string): SliceTour => createSliceTour({ slice: name, shop, flags, visitors, random, options });
  const tours = before.map(tourOf);
  const tour = tourOf(slice);
  const all = [...tours, tour];
  const ledger = await openLedger({
    ...{ pools, accountIds, acknowledged, progress, signal, providerUrl: system.paymentProviderUrl },
    // The others have moved before anybody adds up.
    ownerOf: async (name) => (name === slice ? holderOf(await tour.flag()) : 'service'),
  });
  const addUp = async (): Promise<Books> => {
    const books = await ledger.addUp();
    for (const one of all) await one.verify();
    return books;
  };

  await tour.busy(async () => {
    progress.say(`${before.join(', ')} first, all at once`);
    await Promise.all(tours.map((one) => one.toService(async () => {})));
    await tour.toService(() => tour.kill('orders-1', ''));
    await tour.kill('orders-2', ', while it sells');
    await tour.watch();
  });
  await addUp();
  await tour.busy(async () => {
    await tour.watch();
    await tour.backToMonolith();
    await tour.watch();
  });
  await addUp();
  await tour.busy(async () => {
    await tour.toService(() => tour.kill('orders-1', ''));
    await tour.watch();
  });
  await addUp();
  await tour.busy(() => tour.end());
  const books = await addUp();
  const placedByService = await countRows(
    pools.orders,
    "SELECT COUNT(*) AS n FROM sagas WHERE id LIKE 'sale-%' AND order_id IS NOT NULL",
  );
  const { stage } = await tour.flag();

  const { total, failed, durationsMs, failures } = tour.tally();
  const { faults, stockBroken, lost } = ledger.figures;
  const sum = (of: 'cutovers' | 'compared' | 'different' | 'deadLettered') =>
    all.reduce((total, { figures }) => total + figures[of], 0);
  const { killed } = tour.figures;
  const confirmed = books.orders.filter(({ status }) => status === 'paid' || status === 'shipped').length;
  const cancelled = books.orders.filter(({ status }) => status === 'cancelled').length;
  const bounds = [
    atMost('failed requests', failed, 0),
    atMost('acknowledged orders that are lost', lost, 0),
    atMost('products whose stock does not add up', stockBroken.length, 0),
    atMost('faults of the books', faults.length, 0),
    atMost('rows that differ', sum('different'), 0),
    atMost('dead letters', sum('deadLettered'), 0),
    atLeast('confirmed orders', confirmed, 30),
    atLeast('cancelled orders', cancelled, 5),
    atLeast('orders that the service has placed', placedByService, 10),
    atLeast('cut-overs of the orders', tour.figures.cutovers, 3),
    atLeast('killed', killed.length, 3),
    atLeast('slices at their end', stage === 'complete' ? 1 : 0, 1),
  ];
  return {
    ok: bounds.every((bound) => bound.ok),
    bounds,
    requests: { total, failed },
    orders: { acknowledged: acknowledged.size, confirmed, cancelled, placedByService, lost },
    money: totalsOf(books),
    stockBroken,
    faults,
    cutovers: sum('cutovers'),
    killed,
    rows: { compared: sum('compared'), different: sum('different') },
    deadLettered: sum('deadLettered'),
    latencyMs: spread(durationsMs),
    failures: failures.map(({ action, failure }) => ({ action, failure })),
  };
};
