import { eventually } from '@strangler/platform/testing/eventually.ts';
import { decodeJwt } from 'jose';
import { createBuyer } from '../../traffic/buyer.ts';
import { createCustomer } from '../../traffic/customer.ts';
import { seededRandom } from '../../traffic/random.ts';
import { createStorekeeper } from '../../traffic/storekeeper.ts';
import { spread } from '../../traffic/tally.ts';
import type { Visitor } from '../../traffic/visitor.ts';
import { atLeast, atMost, type Bound } from '../bounds.ts';
import type { BrokenEquation } from '../inventory/stock-equation.ts';
import { writtenDown } from '../notifications/evidence.ts';
import { type LedgerPools, openLedger } from '../orders/ledger.ts';
import { canaryOfFew, patientWithNobody, someCard } from '../orders/setting.ts';
import { type BookFault, type Books, totalsOf } from '../payments/books.ts';
import type { ScenarioOptions } from '../scenario-options.ts';
import { fillShelves, inviteShoppers, inviteWriters, logInAdmin, logInCustomers, someProducts } from '../shoppers.ts';
import { createSliceTour, holderOf } from '../slice-tour.ts';
import { type ShopStage, withShop } from '../with-shop.ts';

export type AllSlicesReport = {
  ok: boolean;
  bounds: Bound[];
  requests: { total: number; failed: number };
  /** Where each slice stands in the end, and what was compared of it on the way. */
  slices: { slice: Slice; stage: string; compared: number; different: number }[];
  orders: { acknowledged: number; confirmed: number; cancelled: number; lost: number };
  money: { takenCents: number; refundedCents: number; confirmedCents: number };
  stockBroken: BrokenEquation[];
  faults: BookFault[];
  /** Of customers who have ordered: those that were told nothing of it, and those that were told twice. */
  told: { missing: number; doubled: number };
  cutovers: number;
  killed: string[];
  deadLettered: number;
  latencyMs: { p50: number; p99: number };
  failures: { action: string; failure: string }[];
};

/** In the order in which they leave. The catalogue ends last: the others copy from it until their writes have moved. */
const slices = ['catalog', 'notifications', 'inventory', 'payments', 'orders'] as const;
type Slice = (typeof slices)[number];
const ends: readonly Slice[] = ['notifications', 'inventory', 'payments', 'orders', 'catalog'];

/** How many of the shop's products are bought; the prices of others change meanwhile. */
const soldProducts = 20;

/**
 * The whole shop, one slice after the other, from the monolith to its end, while people browse, buy, cancel, sell, count and keep the catalogue. Orders,
 * stock and the provider's books are added up in the middle of every slice that has to do with them, after it, and in the end, when the
 * monolith has its accounts and carts left.
 */
export const runAllSlicesScenario = (options: ScenarioOptions): Promise<AllSlicesReport> =>
  withShop(
    options,
    {
      ...{ stage: 'monolith', env: patientWithNobody, workersPerProxy: 1 },
      ...{ inventoryInstances: 2, paymentsInstances: 2, notificationsInstances: 2, ordersInstances: 2 },
      overlays: Object.fromEntries(slices.map((name) => [name, canaryOfFew])),
      reads: ['monolith', 'orders', 'inventory', 'payments', 'notifications'],
    },
    (stage) => tell(stage, options),
  );

type Stage = ShopStage<keyof LedgerPools | 'notifications'>;

const tell = async ({ shop, flags, pools, connections }: Stage, options: ScenarioOptions): Promise<AllSlicesReport> => {
  const { progress, signal } = options;
  const random = seededRandom(42);
  const acknowledged = new Set<number>();
  const { visitors, accountIds } = await inviteEverybody({ shop, connections, random, acknowledged });
  const tours = new Map(
    slices.map((slice) => [slice, createSliceTour({ slice, shop, flags, visitors, random, options })] as const),
  );
  const tourOf = (slice: Slice) => tours.get(slice)!;
  const ledger = await openLedger({
    ...{ pools, accountIds, acknowledged, progress, signal, providerUrl: shop.system.paymentProviderUrl },
    ownerOf: async (slice) => holderOf(await tourOf(slice).flag()),
  });
  const addUp = async (): Promise<Books> => {
    const books = await ledger.addUp();
    for (const tour of tours.values()) await tour.verify();
    return books;
  };

  for (const slice of slices) {
    const tour = tourOf(slice);
    progress.say(`— ${slice}`);
    await tour.busy(async () => {
      await tour.watch();
      await tour.toReads();
      await tour.kill(`${slice}-1`, '');
    });
    await addUp();
    await tour.busy(async () => {
      await tour.toWrites();
      if (slice === 'orders') await tour.kill('orders-2', ', while it sells');
      await tour.watch();
    });
    await addUp();
  }
  progress.say('— to the end');
  for (const slice of ends) await tourOf(slice).busy(() => tourOf(slice).end());
  const books = await addUp();

  const standing = await Promise.all(
    slices.map(async (slice) => {
      const { compared, different } = tourOf(slice).figures;
      return { slice, stage: (await tourOf(slice).flag()).stage, compared, different };
    }),
  );
  const toldNow = async () =>
    toldOf(acknowledged, await writtenDown(pools.notifications, accountIds, "kind = 'order_placed'"));
  // The last customers bought a moment ago; who has not been told in half a minute will not be.
  await eventually(async () => (await toldNow()).missing.length === 0, { withinMs: 30_000, signal }).catch(() => {});
  const { missing, doubled } = await toldNow();
  if (missing.length > 0) progress.say(`  not told of: orders ${missing.join(', ')}`);
  const told = { missing: missing.length, doubled };
  const tallies = [...tours.values()].map((tour) => tour.tally());
  const figures = [...tours.values()].map((tour) => tour.figures);
  const total = (of: (one: (typeof figures)[number]) => number) => figures.reduce((sum, one) => sum + of(one), 0);
  const requests = {
    total: tallies.reduce((sum, one) => sum + one.total, 0),
    failed: tallies.reduce((sum, one) => sum + one.failed, 0),
  };
  const { faults, stockBroken, lost } = ledger.figures;
  const confirmed = books.orders.filter(({ status }) => status === 'paid' || status === 'shipped').length;
  const cancelled = books.orders.filter(({ status }) => status === 'cancelled').length;
  const killed = figures.flatMap((one) => one.killed);
  const cutovers = total((one) => one.cutovers);
  const deadLettered = total((one) => one.deadLettered);
  const bounds = [
    atMost('failed requests', requests.failed, 0),
    atMost('acknowledged orders that are lost', lost, 0),
    atMost('products whose stock does not add up', stockBroken.length, 0),
    atMost('faults of the books', faults.length, 0),
    atMost('orders whose customer was not told, or twice', told.missing + told.doubled, 0),
    atMost(
      'rows that differ',
      total((one) => one.different),
      0,
    ),
    atMost('dead letters', deadLettered, 0),
    atLeast(
      'rows compared',
      total((one) => one.compared),
      1_000,
    ),
    atLeast('confirmed orders', confirmed, 30),
    atLeast('cancelled orders', cancelled, 5),
    atLeast('cut-overs', cutovers, slices.length),
    atLeast('killed', killed.length, slices.length + 1),
    atLeast('slices at their end', standing.filter(({ stage }) => stage === 'complete').length, slices.length),
  ];
  return {
    ok: bounds.every((bound) => bound.ok),
    bounds,
    requests,
    slices: standing,
    orders: { acknowledged: acknowledged.size, confirmed, cancelled, lost },
    money: totalsOf(books),
    stockBroken,
    faults,
    told,
    cutovers,
    killed,
    deadLettered,
    latencyMs: spread(tallies.flatMap(({ durationsMs }) => durationsMs)),
    failures: tallies.flatMap(({ failures }) => failures).map(({ action, failure }) => ({ action, failure })),
  };
};

type Invitation = Pick<Stage, 'shop' | 'connections'> & { random: () => number; acknowledged: Set<number> };

/** People of every kind that the shop knows; those who buy, and the accounts that they buy under. */
const inviteEverybody = async ({ shop, connections: dispatcher, random, acknowledged }: Invitation) => {
  const { proxyUrls, operatorToken } = shop;
  const all = await someProducts(shop, dispatcher);
  const [sold, priced] = [all.slice(0, soldProducts), all.slice(soldProducts)];
  await fillShelves(shop, sold, dispatcher);
  const browsers = await inviteShoppers(shop, { accounts: 0, anonymous: 10, random, dispatcher });
  const keepers = await inviteWriters(shop, { merchants: 2, reviewers: 2, random, dispatcher, pricedIds: priced });
  const customers = await logInCustomers(shop, 12, 'customer', dispatcher);
  const buyers = await logInCustomers(shop, 4, 'buyer', dispatcher);
  const admin = await logInAdmin(shop, dispatcher);
  const shared = { proxyUrls, operatorToken, productIds: sold, random, dispatcher };
  const visitors: Visitor[] = [
    ...browsers,
    ...keepers,
    ...customers.map((accessToken, at) =>
      createCustomer({
        ...{ ...shared, name: `customer ${at + 1}`, accessToken, cardToken: () => someCard(random), repeats: true },
        onOrdered: (id) => acknowledged.add(id),
      }),
    ),
    ...buyers.map((accessToken, at) =>
      createBuyer({ ...shared, name: `buyer ${at + 1}`, accessToken, onlyLooks: true }),
    ),
    ...Array.from({ length: 2 }, (_, at) =>
      createStorekeeper({ ...shared, name: `storekeeper ${at + 1}`, accessToken: admin }),
    ),
  ];
  return { visitors, accountIds: [...customers, ...buyers].map((token) => Number(decodeJwt(token).sub)) };
};

const toldOf = (
  acknowledged: ReadonlySet<number>,
  written: readonly { orderId: number }[],
): { missing: number[]; doubled: number } => {
  const times = Map.groupBy(written, ({ orderId }) => orderId);
  return {
    missing: [...acknowledged].filter((id) => !times.has(id)),
    doubled: [...times.values()].filter((rows) => rows.length > 1).length,
  };
};
