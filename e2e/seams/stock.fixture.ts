import { inventoryConfig } from '@strangler/inventory/config.ts';
import { migrateUp } from '@strangler/inventory/database.ts';
import { type RunningInventory, startInventory } from '@strangler/inventory/inventory.ts';
import { type Commerce, commerceOf } from '@strangler/monolith/testing/commerce.ts';
import { startTestProvider, type TestProvider } from '@strangler/monolith/testing/payment-provider.ts';
import { startTestShop, type TestShop } from '@strangler/monolith/testing/shop.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import { eventually, freePort, freshDatabase } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';

/** The shop and the inventory service on databases of their own; what a pipe would do between them, a test does. */
export type StockSides = {
  shop: TestShop;
  commerce: Commerce;
  provider: TestProvider;
  inventory: RunningInventory;
  flags: TestFlags;
  /** Between the shop and the service's gRPC. */
  line: TcpProxy;
  /** The service's and the shop's databases, for the tests' own eyes. */
  service: Pool;
  monolith: Pool;
  /** A product with this stock on both sides. */
  product(stock: number): Promise<number>;
  availableAtService(productId: number): Promise<number>;
  /** Reservations of the service by order. */
  stateOf(orderId: number): Promise<string | undefined>;
  own(owner: 'monolith' | 'service'): Promise<void>;
  stop(): Promise<void>;
};

export async function startStockSides(label: string): Promise<StockSides> {
  const closers: (() => unknown)[] = [];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const flags = await startTestFlags('inventory');
    closers.push(() => flags.stop());
    let epoch = 1;
    await flags.set('monolith', epoch);
    const database = await freshDatabase(`${label}_inv`);
    closers.push(() => database.drop());
    const log = createLog({ name: 'inventory', level: process.env.TEST_LOG_LEVEL ?? 'fatal' });
    await migrateUp(database.url, log);
    const shopPort = await freePort();
    const config = inventoryConfig({
      PORT: '0',
      GRPC_PORT: '0',
      DATABASE_URL: database.url,
      JWKS_URL: `http://127.0.0.1:${shopPort}/.well-known/jwks.json`,
      STRANGLER_FLAGS: flags.address,
      SWEEP_EVERY: '10m',
      FENCE_WAIT: '200ms',
    });
    const inventory = await startInventory({ config, log });
    closers.push(() => inventory.lifecycle.stop('end of test'));
    const line = await startTcpProxy(`http://${inventory.grpc.address}`);
    closers.push(() => line.close());
    const provider = await startTestProvider();
    closers.push(() => provider.stop());
    const shop = await startTestShop(`${label}_shop`, {
      PORT: `${shopPort}`,
      STRANGLER_FLAGS: flags.address,
      INVENTORY_GRPC: `${line.host}:${line.port}`,
      PAYMENT_PROVIDER_URL: provider.url,
      FENCE_WAIT: '20s',
    });
    closers.push(() => shop.stop());
    const commerce = await commerceOf(shop);
    const [service, monolith] = [database.url, shop.databaseUrl].map((url) => createPool(url, { connectionLimit: 2 }));
    if (service === undefined || monolith === undefined) throw new Error('expected two pools');
    for (const pool of [service, monolith]) closers.push(() => pool.end());

    const one = async <T>(sql: string, values: unknown[]): Promise<T | undefined> => {
      const [rows] = await service.query<RowDataPacket[]>(sql, values);
      return rows[0] as T | undefined;
    };
    return {
      ...{ shop, commerce, provider, inventory, flags, line, service, monolith, stop },
      async product(stock) {
        const id = await commerce.product({ stock });
        await service.query('INSERT INTO products (id) VALUES (?)', [id]);
        if (stock > 0) await copyLevel({ monolith, service }, id);
        return id;
      },
      availableAtService: async (id) =>
        (await one<{ available: number }>('SELECT available FROM stock_levels WHERE product_id = ?', [id]))
          ?.available ?? 0,
      stateOf: async (orderId) =>
        (await one<{ state: string }>('SELECT state FROM reservations WHERE order_id = ?', [orderId]))?.state,
      async own(owner) {
        epoch += 1;
        await flags.set(owner, epoch);
        const told = () => shop.deps.stockOwner?.owner.now()?.epoch === epoch;
        await eventually(told);
        await eventually(async () => {
          const text = await (await fetch(`${inventory.server.url}/health/ready`)).text();
          return text.includes(`epoch ${epoch}`);
        });
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A product's level and its adjustments, as the pipe copies them. */
async function copyLevel(
  { monolith, service }: Record<'monolith' | 'service', Pool>,
  productId: number,
): Promise<void> {
  for (const table of ['stock_levels', 'stock_adjustments']) {
    const [rows] = await monolith.query<RowDataPacket[]>('SELECT * FROM ?? WHERE product_id = ?', [table, productId]);
    for (const row of rows) await service.query('INSERT INTO ?? SET ?', [table, row]);
  }
}
