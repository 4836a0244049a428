import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pause } from '@strangler/platform/backoff.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { operatorEnvironment } from '@strangler/stack/system/system.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { compareSides, deadLetterCount } from '../../soak/cutover/compare-sides.ts';
import { killed } from '../../soak/faults.ts';
import { createBuyer } from '../../traffic/buyer.ts';
import { startCrowd } from '../../traffic/crowd.ts';
import { seededRandom } from '../../traffic/random.ts';
import { createStorekeeper } from '../../traffic/storekeeper.ts';
import { createTally, spread } from '../../traffic/tally.ts';
import { type Visit, visitorConnections } from '../../traffic/visitor.ts';
import { atLeast, atMost, type Bound } from '../bounds.ts';
import { brokenEquations, readStock } from '../inventory/stock-equation.ts';
import { overlaySlices } from '../overlay-slices.ts';
import type { ScenarioOptions } from '../scenario-options.ts';
import { openShop, type Shop } from '../shop.ts';
import { logInAdmin, logInCustomers, someProducts } from '../shoppers.ts';
import { followCanary } from '../story/follow-canary.ts';
import { runOnceOpen } from '../strangler.ts';

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

const watchable = {
  gates: {
    canary: { steps: [50, 100], bake: '2s', maxErrorRate: 0.01, maxP99Ratio: 20, minSamples: 20 },
  },
};

/**
 * The stock to its service, all the way back, to the service again, and there for good, while buyers quarrel about few products and storekeepers
 * change what there is. The shop's own checkout takes stock wherever it is: in its transaction, or by a reservation. An
 * independent reader adds everything up each time that nobody buys.
 */
export const runInventoryScenario = async (options: ScenarioOptions): Promise<InventoryReport> => {
  const { products, instance, keep, progress, signal } = options;
  const folder = mkdtempSync(join(tmpdir(), 'demo-slices-'));
  const connections = visitorConnections();
  try {
    const shop = await openShop({
      ...{ instance, products, stage: 'monolith', inventoryInstances: 2, keep, progress, signal },
      slicesFolder: overlaySlices(folder, { [slice]: watchable }),
    });
    const pools = {
      monolith: createPool(shop.system.databases.mover.shopUrl, { connectionLimit: 2 }),
      service: createPool(shop.system.databases.mover.inventoryUrl, { connectionLimit: 2 }),
    };
    const { store, close } = openFlagStore(shop.flagStore, { log: createLog({ name: 'demo', level: 'silent' }) });
    const flag = async (): Promise<FlagDocument> => {
      const document = (await store.get(slice))?.document;
      if (document === undefined) throw new Error(`expected flags of ${slice}, found none`);
      return document;
    };
    try {
      return await tell({ shop, pools, flag, connections }, options);
    } finally {
      close();
      await Promise.all([pools.monolith.end(), pools.service.end()]);
      await connections.close();
      await shop.close();
    }
  } finally {
    if (!keep) rmSync(folder, { recursive: true, force: true });
  }
};

type Stage = {
  shop: Shop;
  pools: Record<'monolith' | 'service', Pool>;
  flag(): Promise<FlagDocument>;
  connections: ReturnType<typeof visitorConnections>;
};

const tell = async (
  { shop, pools, flag, connections }: Stage,
  { requestsPerSecond, secondsPerStep, progress, signal }: ScenarioOptions,
): Promise<InventoryReport> => {
  const environment = operatorEnvironment(shop.system);
  const command = { environment, signal };
  const random = seededRandom(42);
  const productIds = (await someProducts(shop, connections)).slice(0, wantedProducts);
  const shared = { ...{ proxyUrls: shop.proxyUrls, operatorToken: shop.operatorToken }, productIds, random };
  const visitor = { ...shared, dispatcher: connections };
  const admin = await logInAdmin(shop, connections);
  const buyers = await logInCustomers(shop, 16, 'buyer', connections);
  const visitors = [
    ...buyers.map((accessToken, at) => createBuyer({ ...visitor, name: `buyer ${at + 1}`, accessToken })),
    ...Array.from({ length: 6 }, (_, at) =>
      createStorekeeper({ ...visitor, name: `storekeeper ${at + 1}`, accessToken: admin }),
    ),
  ];
  const keeper = createTally();
  const orders = { placed: 0, short: 0 };
  const onVisit = (visit: Visit): void => {
    keeper.add(visit);
    if (visit.action !== 'checkout') return;
    if (visit.status === 201) orders.placed += 1;
    if (visit.status === 409) orders.short += 1;
  };
  const killedNames: string[] = [];
  const figures = { compared: 0, different: 0, deadLettered: 0, broken: 0, oversold: 0, cutovers: 0 };

  /** With buyers and storekeepers meanwhile. */
  const busy = async (work: () => Promise<void>): Promise<void> => {
    const crowd = startCrowd({ shoppers: visitors, requestsPerSecond, onVisit, random });
    try {
      await work();
    } finally {
      await crowd.stop();
    }
  };
  const watch = async (): Promise<void> => {
    await pause(secondsPerStep * 1000, signal);
    signal.throwIfAborted();
    const { total, failed } = keeper.tally();
    progress.say(
      `  ${total} requests, ${failed} failed; ${orders.placed} orders, ${orders.short} refused for want of stock`,
    );
  };
  const advance = async (what: string): Promise<void> => {
    progress.say(`strangler advance ${slice}: ${what}`);
    await runOnceOpen(['advance', slice, '--reason', 'the demo'], command);
  };
  const kill = async (name: string, when: string): Promise<void> => {
    progress.say(`${name} killed with -9${when}`);
    killedNames.push(name);
    const fault = killed(shop.system.process(name));
    await fault.begin();
    await fault.end();
  };

  const before = await readStock(pools.monolith, pools.monolith, { hasReservations: false });
  /** At rest: nobody buys, and whoever had to be told of an order has been. */
  const addUp = async (): Promise<void> => {
    const { writes, stage } = await flag();
    const isService = writes.owner === 'service';
    await eventually(() => untilSettled(pools, isService), { withinMs: 60_000, signal });
    const now = await readStock(isService ? pools.service : pools.monolith, pools.monolith, {
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
    if (stage === 'monolith' || stage === 'complete') return;
    const rows = await compareSides(slice, command);
    figures.compared += rows.compared;
    figures.different += rows.different;
    figures.deadLettered += await deadLetterCount(slice, command);
    progress.say(`  verified: ${rows.compared} rows, ${rows.different} differ`);
  };
  const toService = async (): Promise<void> => {
    await advance('capture, and a copy');
    await advance('both sides compared');
    await advance('the first users read their stock from the service');
    await followCanary({ slice, flag, environment }, progress, signal);
    await advance('every read of the stock goes to the service');
    await kill('inventory-1', '');
    await advance('the writes move: checkouts reserve from now on');
    figures.cutovers += 1;
    await watch();
  };

  await busy(async () => {
    await watch();
    await toService();
  });
  await addUp();
  await busy(async () => {
    await kill('inventory-2', ', while it sells');
    await watch();
    progress.say(`strangler rollback ${slice}: all the way back, while they buy`);
    while ((await flag()).stage !== 'monolith') {
      const { stage } = await flag();
      await runOnceOpen(['rollback', slice, '--reason', 'the demo'], command);
      if (stage === 'writes') figures.cutovers += 1;
      progress.say(`  at ${(await flag()).stage}`);
    }
    await watch();
  });
  await addUp();
  await busy(toService);
  await addUp();
  await busy(async () => {
    progress.say(`strangler advance ${slice} --confirm ${slice}: the monolith's tables are put away, while they buy`);
    await runOnceOpen(['advance', slice, '--confirm', slice, '--settle', '2s', '--reason', 'the demo'], command);
    await watch();
  });
  await addUp();
  const { stage } = await flag();

  const { total, failed, durationsMs, failures } = keeper.tally();
  const bounds = [
    atMost('failed requests', failed, 0),
    atMost('products whose stock does not add up', figures.broken, 0),
    atMost('products that were oversold', figures.oversold, 0),
    atMost('rows that differ', figures.different, 0),
    atMost('dead letters', figures.deadLettered, 0),
    atLeast('orders', orders.placed, 20),
    atLeast('cut-overs', figures.cutovers, 3),
    atLeast('killed', killedNames.length, 3),
    atLeast('slices at their end', stage === 'complete' ? 1 : 0, 1),
  ];
  return {
    ok: bounds.every((bound) => bound.ok),
    bounds,
    requests: { total, failed },
    orders,
    cutovers: figures.cutovers,
    killed: killedNames,
    rows: { compared: figures.compared, different: figures.different },
    deadLettered: figures.deadLettered,
    stockBroken: figures.broken,
    oversold: figures.oversold,
    latencyMs: spread(durationsMs),
    failures: failures.map(({ action, failure }) => ({ action, failure })),
  };
};

/** No order whose stock the inventory has not been told of, and no reservation that is still held. */
const untilSettled = async (pools: Stage['pools'], isService: boolean): Promise<boolean> => {
  const count = async (pool: Pool, sql: string): Promise<number> => {
    const [[row]] = await pool.query<RowDataPacket[]>(sql);
    return Number(row?.n);
  };
  const errands = await count(pools.monolith, 'SELECT COUNT(*) AS n FROM stock_errands WHERE done_at IS NULL');
  const held = isService
    ? await count(pools.service, "SELECT COUNT(*) AS n FROM reservations WHERE state = 'held'")
    : 0;
  return errands === 0 && held === 0;
};
