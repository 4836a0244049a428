import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { decodeJwt } from 'jose';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { createBuyer } from '../../traffic/buyer.ts';
import { createCustomer } from '../../traffic/customer.ts';
import { pick, seededRandom, type Weighted } from '../../traffic/random.ts';
import { spread } from '../../traffic/tally.ts';
import { visitorConnections } from '../../traffic/visitor.ts';
import { atLeast, atMost, type Bound } from '../bounds.ts';
import { type BrokenEquation, brokenEquations, readStock } from '../inventory/stock-equation.ts';
import { overlaySlices } from '../overlay-slices.ts';
import { type BookFault, bookFaults, readBooks, totalsOf } from '../payments/books.ts';
import type { ScenarioOptions } from '../scenario-options.ts';
import { openShop, type Shop } from '../shop.ts';
import { fillShelves, logInCustomers, someProducts } from '../shoppers.ts';
import { createSliceTour, type SliceTour, watchableCanary } from '../slice-tour.ts';

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

/** Whoever dies is followed soon, and what became of a charge is soon found out. */
const quickly = {
  monolith: { PAYMENT_TIMEOUT: '1s', PAYMENT_CHECK_AFTER: '1s', PAYMENT_RECONCILE_EVERY: '500ms' },
  payments: {
    ...{ PROVIDER_TIMEOUT: '1s', IDEMPOTENCY_LEASE: '4s', CIRCUIT_RESET: '2s', CIRCUIT_VOLUME: '50' },
    ...{ FIRST_CHECK: '1s', LONGEST_CHECK: '3s', RECONCILE_EVERY: '500ms', ABANDON_AFTER: '15s' },
  },
  orders: {
    ...{ INVENTORY_TIMEOUT: '4s', PAYMENTS_TIMEOUT: '4s', SAGA_LEASE: '6s', CARD_KEPT: '8s', CHARGE_GRACE: '12s' },
    ...{ SAGA_EVERY: '500ms', LONGEST_PAUSE: '2s' },
    // A cut-over waits five seconds for the writes that are under way.
    CHECKOUT_WAIT: '3s',
  },
};

/** Customers look at their orders far more rarely than they buy. */
const canaryOfFew = { gates: { canary: { ...watchableCanary.gates.canary, minSamples: 8 } } };

const cards: Weighted<string> = [
  [70, 'tok_visa'],
  [10, 'tok_decline'],
  [5, 'tok_late_webhook'],
  [3, 'tok_late_decline'],
  [3, 'tok_timeout'],
  [4, 'tok_double_webhook'],
];

/**
 * Checkout and orders to their service, back, and to it again, after everything that they ask has moved: a transaction becomes a saga, and a
 * saga's orders become a transaction's, while customers buy and cancel and the service is killed. Each time that nobody buys, orders,
 * stock and the provider's books are added up, and every order that was acknowledged is looked for.
 */
export const runOrdersScenario = async (options: ScenarioOptions): Promise<OrdersReport> => {
  const { products, instance, keep, progress, signal } = options;
  const folder = mkdtempSync(join(tmpdir(), 'demo-slices-'));
  const connections = visitorConnections();
  try {
    const shop = await openShop({
      ...{ instance, products, stage: 'monolith', keep, progress, signal, env: quickly },
      ...{ inventoryInstances: 1, paymentsInstances: 1, notificationsInstances: 1, ordersInstances: 2 },
      slicesFolder: overlaySlices(folder, Object.fromEntries([...before, slice].map((name) => [name, canaryOfFew]))),
    });
    const { mover } = shop.system.databases;
    const pools = {
      monolith: createPool(mover.shopUrl, { connectionLimit: 2 }),
      orders: createPool(mover.ordersUrl, { connectionLimit: 2 }),
      inventory: createPool(mover.inventoryUrl, { connectionLimit: 2 }),
      payments: createPool(mover.paymentsUrl, { connectionLimit: 2 }),
    };
    try {
      return await tell({ shop, pools, connections }, options);
    } finally {
      await Promise.all(Object.values(pools).map((pool) => pool.end()));
      await connections.close();
      await shop.close();
    }
  } finally {
    if (!keep) rmSync(folder, { recursive: true, force: true });
  }
};

type Stage = {
  shop: Shop;
  pools: Record<'monolith' | 'orders' | 'inventory' | 'payments', Pool>;
  connections: ReturnType<typeof visitorConnections>;
};

const tell = async ({ shop, pools, connections }: Stage, options: ScenarioOptions): Promise<OrdersReport> => {
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
    cardToken: () => pick(cards, random),
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
  const stocked = await readStock(pools.monolith, pools.monolith, { hasReservations: false });
  const tourOf = (name: string): SliceTour => createSliceTour({ slice: name, shop, visitors, random, options });
  const tours = before.map(tourOf);
  const tour = tourOf(slice);
  const count = async (pool: Pool, sql: string, values: unknown[] = []): Promise<number> => {
    const [[row]] = await pool.query<RowDataPacket[]>(sql, values);
    return Number(row?.n);
  };
  const ownerOf = async (): Promise<Pool> =>
    (await tour.flag()).writes.owner === 'service' ? pools.orders : pools.monolith;

  /** Nothing is left to be done, or to be found out. */
  const open = async (): Promise<Record<string, number>> => ({
    orders: await count(
      await ownerOf(),
      "SELECT COUNT(*) AS n FROM orders WHERE account_id IN (?) AND status = 'awaiting_payment'",
      [accountIds],
    ),
    sagas: await count(pools.orders, 'SELECT COUNT(*) AS n FROM sagas WHERE due_at IS NOT NULL'),
    stockErrands: await count(pools.monolith, 'SELECT COUNT(*) AS n FROM stock_errands WHERE done_at IS NULL'),
    paymentErrands: await count(pools.monolith, 'SELECT COUNT(*) AS n FROM payment_errands WHERE done_at IS NULL'),
    held: await count(pools.inventory, "SELECT COUNT(*) AS n FROM reservations WHERE state = 'held'"),
    payments: await count(
      pools.payments,
      "SELECT COUNT(*) AS n FROM payments WHERE account_id IN (?) AND status IN ('pending', 'cancelling', 'refunding')",
      [accountIds],
    ),
  });
  const faults: BookFault[] = [];
  const stockBroken: BrokenEquation[] = [];
  let lost = 0;
  const addUp = async () => {
    const isSettled = async () => Object.values(await open()).every((n) => n === 0);
    await eventually(isSettled, { withinMs: 90_000, signal }).catch(async () =>
      progress.say(`  not everything is settled: ${JSON.stringify(await open())}`),
    );
    const owner = await ownerOf();
    const ids = [...acknowledged, 0];
    const kept = await count(owner, 'SELECT COUNT(*) AS n FROM orders WHERE id IN (?)', [ids]);
    lost += acknowledged.size - kept;
    const stock = await readStock(pools.inventory, owner, { hasReservations: true });
    const broken = brokenEquations(stocked, stock);
    stockBroken.push(...broken);
    for (const { productId, what, expected, found } of broken)
      progress.say(`FOUND product ${productId}: ${what}: expected ${expected}, found ${found}`);
    const books = await readBooks(
      { providerUrl: system.paymentProviderUrl, owner: pools.payments, monolith: owner },
      accountIds,
    );
    const found = bookFaults(books);
    faults.push(...found);
    for (const { what, orderId, expected, found: is } of found.slice(0, 10))
      progress.say(`FOUND ${what}${orderId === null ? '' : ` (order ${orderId})`}: expected ${expected}, found ${is}`);
    const { takenCents, refundedCents, confirmedCents } = totalsOf(books);
    progress.say(
      `  ${books.orders.length} orders, ${acknowledged.size - kept} of ${acknowledged.size} acknowledged ones lost; ` +
        `${takenCents} cents taken, ${confirmedCents} of confirmed orders, ${refundedCents} given back; ` +
        `${found.length} faults of the books, ${broken.length} of the stock`,
    );
    for (const one of [...tours, tour]) await one.verify();
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
  const books = await addUp();
  const placedByService = await count(
    pools.orders,
    "SELECT COUNT(*) AS n FROM sagas WHERE id LIKE 'sale-%' AND order_id IS NOT NULL",
  );
  const { stage } = await tour.flag();

  const { total, failed, durationsMs, failures } = tour.tally();
  const all = [...tours, tour].map(({ figures }) => figures);
  const sum = (of: 'cutovers' | 'compared' | 'different' | 'deadLettered') =>
    all.reduce((total, figures) => total + figures[of], 0);
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
    atLeast('slices whose writes are the service’s in the end', stage === 'writes' ? 1 : 0, 1),
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
