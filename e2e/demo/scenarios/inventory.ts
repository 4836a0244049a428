import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { Pool } from 'mysql2/promise';
import { createBuyer } from '../../traffic/buyer.ts';
import { seededRandom } from '../../traffic/random.ts';
import { createStorekeeper } from '../../traffic/storekeeper.ts';
import { spread } from '../../traffic/tally.ts';
import type { Visit } from '../../traffic/visitor.ts';
import { atLeast, atMost, type Bound } from '../bounds.ts';
import { brokenEquations, readStock } from '../inventory/stock-equation.ts';
import type { ScenarioOptions } from '../scenario-options.ts';
import { logInAdmin, logInCustomers, someProducts } from '../shoppers.ts';
import { createSliceTour, watchableCanary } from '../slice-tour.ts';
import { countRows, type ShopStage, withShop } from '../with-shop.ts';

export type InventoryReport = {
  ok: boolean;
  bounds: Bound[];
  requests: { total: number; failed: number };
  /** Orders that were paid, and refusals for want of stock. */
  orders: { placed: number; short: number };
  cutovers: number;
  killed: string[];
  rows: { compared: number; different: number };
  deadLettered: number;
  /** Products whose stock does not add up. */
  stockBroken: number;
  oversold: number;
  latencyMs: { p50: number; p99: number };
  failures: { action: string; failure: string }[];
};

const slice = 'inventory';
/** Few products, so that buyers meet. */
const wantedProducts = 12;

/**
 * The stock to its service, all the way back, to the service again, and there for good, while buyers quarrel about few products and storekeepers
 * change what there is. The shop's own checkout takes stock wherever it is: in its transaction, or by a reservation. An
 * independent reader adds everything up each time that nobody buys.
 */
export const runInventoryScenario = (options: ScenarioOptions): Promise<InventoryReport> =>
  withShop(
    options,
    {
      ...{ stage: 'monolith', inventoryInstances: 2 },
      ...{ overlays: { [slice]: watchableCanary }, reads: ['monolith', 'inventory'] },
    },
    (stage) => tell(stage, options),
  );

const tell = async (
  { shop, flags, pools, connections }: ShopStage<'monolith' | 'inventory'>,
  options: ScenarioOptions,
): Promise<InventoryReport> => {
  const { progress, signal } = options;
  const random = seededRandom(42);
  const productIds = (await someProducts(shop, connections)).slice(0, wantedProducts);
  const { proxyUrls, operatorToken } = shop;
  const visitor = { proxyUrls, operatorToken, productIds, random, dispatcher: connections };
  const admin = await logInAdmin(shop, connections);
  const buyers = await logInCustomers(shop, 16, 'buyer', connections);
  const visitors = [
    ...buyers.map((accessToken, at) => createBuyer({ ...visitor, name: `buyer ${at + 1}`, accessToken })),
    ...Array.from({ length: 6 }, (_, at) =>
      createStorekeeper({ ...visitor, name: `storekeeper ${at + 1}`, accessToken: admin }),
    ),
  ];
  const orders = { placed: 0, short: 0 };
  const onVisit = ({ action, status }: Visit): void => {
    if (action !== 'checkout') return;
    if (status === 201) orders.placed += 1;
    if (status === 409) orders.short += 1;
  };
  const tour = createSliceTour({ slice, shop, flags, visitors, random, onVisit, options });
  const figures = { broken: 0, oversold: 0 };

  const before = await readStock(pools.monolith, pools.monolith, { hasReservations: false });
  /** At rest: nobody buys, and whoever had to be told of an order has been. */
  const addUp = async (): Promise<void> => {
    const { writes } = await tour.flag();
    const isService = writes.owner === 'service';
    await eventually(() => untilSettled(pools, isService), { withinMs: 60_000, signal });
    const now = await readStock(isService ? pools.inventory : pools.monolith, pools.monolith, {
      hasReservations: isService,
    });
    const broken = brokenEquations(before, now);
    for (const { productId, what, expected, found } of broken) {
      progress.say(`FOUND product ${productId}: ${what}: expected ${expected}, found ${found}`);
    }
    const oversold = [...now.values()].filter(({ available }) => available < 0).length;
    figures.broken += broken.length;
    figures.oversold += oversold;
    progress.say(`  the stock of ${now.size} products at the ${writes.owner}: ${broken.length} do not add up`);
    progress.say(`  ${orders.placed} orders, ${orders.short} refused for want of stock`);
    await tour.verify();
  };

  await tour.busy(async () => {
    await tour.watch();
    await tour.toService(() => tour.kill('inventory-1', ''));
  });
  await addUp();
  await tour.busy(async () => {
    await tour.kill('inventory-2', ', while it sells');
    await tour.watch();
    await tour.backToMonolith();
    await tour.watch();
  });
  await addUp();
  await tour.busy(() => tour.toService(() => tour.kill('inventory-1', '')));
  await addUp();
  await tour.busy(() => tour.end());
  await addUp();
  const { stage } = await tour.flag();

  const { total, failed, durationsMs, failures } = tour.tally();
  const { cutovers, killed, compared, different, deadLettered } = tour.figures;
  const bounds = [
    atMost('failed requests', failed, 0),
    atMost('products whose stock does not add up', figures.broken, 0),
    atMost('products that were oversold', figures.oversold, 0),
    atMost('rows that differ', different, 0),
    atMost('dead letters', deadLettered, 0),
    atLeast('orders', orders.placed, 20),
    atLeast('cut-overs', cutovers, 3),
    atLeast('killed', killed.length, 3),
    atLeast('slices at their end', stage === 'complete' ? 1 : 0, 1),
  ];
  return {
    ok: bounds.every((bound) => bound.ok),
    bounds,
    requests: { total, failed },
    orders,
    cutovers,
    killed,
    rows: { compared, different },
    deadLettered,
    stockBroken: figures.broken,
    oversold: figures.oversold,
    latencyMs: spread(durationsMs),
    failures: failures.map(({ action, failure }) => ({ action, failure })),
  };
};

/** No order whose stock the inventory has not been told of, and no reservation that is still held. */
export const untilSettled = async (
  pools: Record<'monolith' | 'inventory', Pool>,
  isService: boolean,
): Promise<boolean> => {
  const errands = await countRows(pools.monolith, 'SELECT COUNT(*) AS n FROM stock_errands WHERE done_at IS NULL');
  const held = isService
    ? await countRows(pools.inventory, "SELECT COUNT(*) AS n FROM reservations WHERE state = 'held'")
    : 0;
  return errands === 0 && held === 0;
};
