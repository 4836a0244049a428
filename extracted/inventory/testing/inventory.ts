import { createGrpcClient, type GrpcClient } from '@strangler/platform/grpc/client.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import type { Clock } from '../clock.ts';
import { inventoryConfig } from '../config.ts';
import { migrateUp } from '../database.ts';
import { inventoryPackageName, inventoryProtoPath } from '../grpc/server.ts';
import { type RunningInventory, startInventory } from '../inventory.ts';
import { startTestIssuer, type TestIssuer } from './issuer.ts';

export type SendOptions = { token?: string; headers?: Record<string, string>; body?: unknown };
// biome-ignore lint/suspicious/noExplicitAny: the body is whatever JSON was answered
export type TestAnswer = { status: number; headers: Headers; text: string; body: any };

/** An instance, and how to ask it. */
export type TestInstance = RunningInventory & {
  url: string;
  client: GrpcClient;
  /** Sends a request; a `body` that is not a text is sent as JSON. */
  send(method: string, path: string, options?: SendOptions): Promise<TestAnswer>;
};

export type TestInventory = TestInstance & {
  database: FreshDatabase;
  /** Of the tests' own: what they read is not read through the service. */
  db: Pool;
  issuer: TestIssuer;
  clock: TestClock;
  /** A new product with this stock; its id. */
  product(stock?: number): Promise<number>;
  available(productId: number): Promise<number>;
  /** Another instance on the same database. */
  another(env?: NodeJS.ProcessEnv): Promise<TestInstance>;
  stop(): Promise<void>;
};

/** The system's time, moved by whatever a test says. */
export type TestClock = Clock & { advance(ms: number): void };

export function testClock(): TestClock {
  let aheadMs = 0;
  return {
    now: () => new Date(Date.now() + aheadMs),
    advance: (ms) => {
      aheadMs += ms;
    },
  };
}

export function clientOf(address: string): GrpcClient {
  return createGrpcClient({
    address,
    protoPath: inventoryProtoPath,
    packageName: inventoryPackageName,
    serviceName: 'Inventory',
    deadlineMs: 60_000,
  });
}

/** An inventory on a fresh database of its own, on free ports. `env` goes over what the tests need. */
export async function startTestInventory(label: string, env: NodeJS.ProcessEnv = {}): Promise<TestInventory> {
  const database = await freshDatabase(label);
  const issuer = await startTestIssuer();
  const clock = testClock();
  const log = createLog({ name: 'inventory', level: process.env.TEST_LOG_LEVEL ?? 'fatal' });
  const closers: (() => unknown)[] = [];

  const start = async (more: NodeJS.ProcessEnv): Promise<TestInstance> => {
    const config = inventoryConfig({ ...environment(database.url, issuer.url), ...env, ...more });
    const running = await startInventory({ config, log, clock });
    const client = clientOf(running.grpc.address);
    closers.unshift(() => client.close());
    closers.push(() => running.lifecycle.stop('test'));
    return { ...running, url: running.server.url, client, send: sender(running.server.url) };
  };
  const stop = async () => {
    for (const close of closers) await close();
    await issuer.stop();
    await database.drop();
  };

  try {
    await migrateUp(database.url, log);
    const db = createPool(database.url, { connectionLimit: 2 });
    closers.push(() => db.end());
    let products = 0;
    return {
      ...(await start({})),
      ...{ database, db, issuer, clock, stop },
      another: (more = {}) => start(more),
      async product(stock) {
        products += 1;
        await addProduct(db, products, stock);
        return products;
      },
      available: (productId) => availableOf(db, productId),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** For an instance of a test, in this process or another. */
export function environment(databaseUrl: string, issuerUrl: string): NodeJS.ProcessEnv {
  return {
    PORT: '0',
    GRPC_PORT: '0',
    DATABASE_URL: databaseUrl,
    DATABASE_POOL_MAX: '10',
    JWKS_URL: `${issuerUrl}/.well-known/jwks.json`,
    WATCH_EVERY: '20ms',
    DRAIN_GRACE: '5s',
  };
}

/** As the pipe and the first adjustment make it; without stock there is no level. */
export async function addProduct(db: Pool, id: number, stock?: number): Promise<void> {
  const at = new Date();
  await db.query('INSERT INTO products (id) VALUES (?)', [id]);
  if (stock === undefined) return;
  await db.query('INSERT INTO stock_levels (product_id, available, version, updated_at) VALUES (?, ?, 1, ?)', [
    id,
    stock,
    at,
  ]);
  const sql =
    "INSERT INTO stock_adjustments (product_id, delta, reason, account_id, created_at) VALUES (?, ?, 'initial', 1, ?)";
  await db.query(sql, [id, stock, at]);
}

async function availableOf(db: Pool, productId: number): Promise<number> {
  const [rows] = await db.query('SELECT available FROM stock_levels WHERE product_id = ?', [productId]);
  return (rows as { available: number }[])[0]?.available ?? 0;
}

function sender(url: string): TestInstance['send'] {
  return async (method, path, { token, headers = {}, body } = {}) => {
    const answer = await fetch(`${url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const json = text !== '' && /json/.test(answer.headers.get('content-type') ?? '');
    return { status: answer.status, headers: answer.headers, text, body: json ? JSON.parse(text) : undefined };
  };
}
