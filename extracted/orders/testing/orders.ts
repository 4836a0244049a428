import { randomUUID } from 'node:crypto';
import { createLog } from '@strangler/platform/log.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Clock } from '../clock.ts';
import { ordersConfig } from '../config.ts';
import { migrateUp } from '../database.ts';
import { type RunningOrders, startOrders } from '../orders.ts';
import { type Neighbours, startNeighbours } from './neighbours.ts';
import { startShopStandIn, type TestShop } from './shop.ts';

export type SendOptions = { token?: string; key?: string; headers?: Record<string, string>; body?: unknown };
// biome-ignore lint/suspicious/noExplicitAny: bodies are looked into by each test
export type TestAnswer = { status: number; headers: Headers; text: string; body: any };
export type Send = (method: string, path: string, options?: SendOptions) => Promise<TestAnswer>;
export type TestInstance = RunningOrders & { url: string; send: Send };

export type TestOrders = TestInstance & {
  database: FreshDatabase;
  shop: TestShop;
  neighbours: Neighbours;
  admin: string;
  customer: string;
  another(env?: NodeJS.ProcessEnv): Promise<TestInstance>;
  /** Fills the customer's cart and checks it out. */
  buy(options?: {
    cardToken?: string;
    key?: string;
    headers?: Record<string, string>;
    quantity?: number;
  }): Promise<TestAnswer>;
  stop(): Promise<void>;
};

/** The customer whose orders the tests make. */
export const customerId = 7;

/** The orders on a fresh database of their own, with stand-ins for everybody else. `env` goes over what the tests need. */
export async function startTestOrders(
  label: string,
  env: NodeJS.ProcessEnv = {},
  { clock }: { clock?: Clock } = {},
): Promise<TestOrders> {
  const database = await freshDatabase(label);
  const [shop, neighbours] = await Promise.all([startShopStandIn(), startNeighbours()]);
  const log = createLog({ name: 'orders', level: process.env.TEST_LOG_LEVEL ?? 'silent' });
  const running: RunningOrders[] = [];

  const start = async (more: NodeJS.ProcessEnv): Promise<TestInstance> => {
    const config = ordersConfig({
      ...{ PORT: '0', DATABASE_URL: database.url, DATABASE_POOL_MAX: '8', DRAIN_GRACE: '5s' },
      ...{ SHOP_URL: shop.url, JWKS_URL: `${shop.url}/.well-known/jwks.json` },
      ...{ SERVICE_EMAIL: 'orders@shop.example', SERVICE_PASSWORD: 'a long enough password' },
      ...{ INVENTORY_GRPC: neighbours.inventory, PAYMENTS_GRPC: neighbours.payments },
      ...{ SAGA_EVERY: '50ms', FIRST_PAUSE: '20ms', LONGEST_PAUSE: '200ms' },
      ...env,
      ...more,
    });
    const orders = await startOrders({ config, log, ...(clock ? { clock } : {}) });
    running.push(orders);
    return { ...orders, url: orders.server.url, send: sender(orders.server.url) };
  };
  const stop = async () => {
    for (const orders of running) await orders.lifecycle.stop('test');
    await neighbours.stop();
    await shop.stop();
    await database.drop();
  };

  try {
    await migrateUp(database.url, log);
    const first = await start({});
    const [admin, customer] = await Promise.all([shop.token(1, 'admin'), shop.token(customerId, 'customer')]);
    return {
      ...first,
      ...{ database, shop, neighbours, admin, customer, stop },
      another: (more = {}) => start(more),
      buy: ({ cardToken = 'tok_visa', key = randomUUID(), headers = {}, quantity = 1 } = {}) => {
        shop.fill(customerId, [{ quantity }]);
        return first.send('POST', '/api/checkout', { token: customer, key, headers, body: { card_token: cardToken } });
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

export function sender(url: string): Send {
  return async (method, path, { token, key, headers = {}, body } = {}) => {
    const answer = await fetch(`${url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const json = text !== '' && /json/.test(answer.headers.get('content-type') ?? '');
    return { status: answer.status, headers: answer.headers, text, body: json ? JSON.parse(text) : undefined };
  };
}
