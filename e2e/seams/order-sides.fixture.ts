import { randomBytes, randomUUID } from 'node:crypto';
import { addProduct, startTestInventory, type TestInventory } from '@strangler/inventory/testing/inventory.ts';
import { type Commerce, commerceOf } from '@strangler/monolith/testing/commerce.ts';
import { startTestShop, type TestAccount, type TestShop } from '@strangler/monolith/testing/shop.ts';
import { ordersConfig } from '@strangler/orders/config.ts';
import { migrateUp } from '@strangler/orders/database.ts';
import { type RunningOrders, startOrders } from '@strangler/orders/orders.ts';
import {
  sender,
  startTestPayments,
  type TestAnswer,
  type TestInstance,
  type TestPayments,
} from '@strangler/payments/testing/payments.ts';
import { webhookSecret } from '@strangler/payments/testing/provider.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';

/** The shop with its carts, and the three services that a checkout is made of, each on a database of its own. */
export type OrderSides = {
  shop: TestShop;
  commerce: Commerce;
  inventory: TestInventory;
  payments: TestPayments;
  /** What serves the shop's tokens. */
  service: TestInstance;
  /** Of the orders, for the tests' own eyes. */
  db: Pool;
  database: FreshDatabase;
  /** The environment that an instance of the orders is started with. */
  env(more?: NodeJS.ProcessEnv): Record<string, string>;
  /** In this process. */
  start(more?: NodeJS.ProcessEnv): Promise<RunningOrders>;
  /** A product with this stock at the shop and at the inventory, and as the orders' copies have it. */
  product(fields?: { stock?: number; priceCents?: number; currency?: string }): Promise<number>;
  /** A customer, known to the orders. */
  customer(displayName?: string): Promise<TestAccount>;
  checkOut(
    url: string,
    buyer: TestAccount,
    request?: { cardToken?: string; key?: string; expectedTotalCents?: number; prefer?: string },
  ): Promise<TestAnswer>;
  stop(): Promise<void>;
};

const password = 'a long enough password';

/** `more`: put over the environments of the shop, and of those that the orders ask. */
export async function startOrderSides(
  label: string,
  shopEnv: NodeJS.ProcessEnv = {},
  more: { inventory?: NodeJS.ProcessEnv; payments?: NodeJS.ProcessEnv } = {},
): Promise<OrderSides> {
  const closers: (() => unknown)[] = [];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const payments = await startTestPayments(`${label}_pay`);
    closers.push(() => payments.stop());
    const shop = await startTestShop(`${label}_shop`, {
      PAYMENT_PROVIDER_URL: payments.provider.url,
      PAYMENT_WEBHOOK_SECRET: webhookSecret,
      PAYMENT_TIMEOUT: '1s',
      ...shopEnv,
    });
    closers.push(() => shop.stop());
    const commerce = await commerceOf(shop);
    const inventory = await startTestInventory(`${label}_inv`, more.inventory);
    closers.push(() => inventory.stop());
    const service = await payments.another({
      JWKS_URL: `${shop.url}/.well-known/jwks.json`,
      PROVIDER_TIMEOUT: '1s',
      ...{ FIRST_CHECK: '300ms', RECONCILE_EVERY: '200ms', ABANDON_AFTER: '3s', LONGEST_CHECK: '2s' },
      ...more.payments,
    });
    const database = await freshDatabase(`${label}_ord`);
    closers.push(() => database.drop());
    const log = createLog({ name: 'orders', level: process.env.TEST_LOG_LEVEL ?? 'silent' });
    await migrateUp(database.url, log);
    const db = createPool(database.url, { connectionLimit: 4 });
    closers.push(() => db.end());
    const email = await serviceAccount(shop);
    const env: OrderSides['env'] = (more = {}) => {
      const all: NodeJS.ProcessEnv = {
        ...{ PORT: '0', DATABASE_URL: database.url, DATABASE_POOL_MAX: '10', DRAIN_GRACE: '5s' },
        ...{ SHOP_URL: shop.url, JWKS_URL: `${shop.url}/.well-known/jwks.json` },
        ...{ SERVICE_EMAIL: email, SERVICE_PASSWORD: password },
        ...{ INVENTORY_GRPC: inventory.grpc.address, PAYMENTS_GRPC: service.grpc.address },
        ...{ SAGA_EVERY: '50ms', FIRST_PAUSE: '50ms', LONGEST_PAUSE: '500ms' },
        ...more,
      };
      return Object.fromEntries(
        Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
      );
    };
    return {
      ...{ shop, commerce, inventory, payments, service, db, database, env, stop },
      async start(more = {}) {
        const running = await startOrders({ config: ordersConfig(env(more)), log });
        closers.push(() => running.lifecycle.stop('end of test'));
        return running;
      },
      async product({ stock = 10, ...fields } = {}) {
        const id = await commerce.product({ stock, ...fields });
        await addProduct(inventory.db, id, stock);
        await copy(shop, db, 'products', 'id, sku, name, category_id, price_cents, currency, active, archived_at', id);
        await copy(shop, db, 'categories', 'id, name, slug');
        return id;
      },
      async customer(displayName) {
        const account = await shop.account('customer', displayName);
        await copy(shop, db, 'accounts', 'id, email, display_name', account.id);
        return account;
      },
      checkOut: (url, buyer, { cardToken = 'tok_visa', key = randomUUID(), expectedTotalCents, prefer } = {}) =>
        sender(url)('POST', '/api/checkout', {
          token: buyer.token,
          headers: { 'idempotency-key': key, ...(prefer === undefined ? {} : { prefer }) },
          body: {
            card_token: cardToken,
            ...(expectedTotalCents === undefined ? {} : { expected_total_cents: expectedTotalCents }),
          },
        }),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** An administrator that can log in: the orders' own account. */
async function serviceAccount(shop: TestShop): Promise<string> {
  const email = `orders-${randomBytes(6).toString('hex')}@shop.example`;
  const answer = await shop.client.post('/api/accounts', { email, password, display_name: 'Orders' });
  if (answer.status !== 201) throw new Error(`the orders' account was not made: ${answer.text}`);
  await shop.deps.models.Account.update({ role: 'admin' }, { where: { email } });
  return email;
}

/** As the pipe copies it. */
export async function copy(shop: TestShop, db: Pool, table: string, columns: string, id?: number): Promise<void> {
  const where = id === undefined ? '' : ` WHERE id = ${id}`;
  const [rows] = await shop.database.sequelize.query(`SELECT ${columns} FROM ${table}${where}`);
  for (const row of rows as Record<string, unknown>[]) await db.query(`REPLACE INTO ${table} SET ?`, [row]);
}
