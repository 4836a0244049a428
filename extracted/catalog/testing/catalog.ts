import { randomBytes } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase, testServers } from '@strangler/platform/testing/servers.ts';
import { exportJWK, generateKeyPair, type CryptoKey as JoseKey, SignJWT } from 'jose';
import type { Pool } from 'mysql2/promise';
import { type RunningCatalog, startCatalog } from '../catalog.ts';
import type { Clock } from '../clock.ts';
import { catalogConfig } from '../config.ts';
import { migrateUp } from '../database.ts';
import { removeKeys } from './remove-keys.ts';

/** Something that issues tokens and knows names, as the shop does. */
export type TestIssuer = {
  url: string;
  /** Of the present key. */
  token(accountId: number, role: 'customer' | 'admin', claims?: Record<string, unknown>): Promise<string>;
  /** Makes a new key; `forget` takes the old ones out of the key set. */
  rotate(options?: { forget?: boolean }): Promise<void>;
  /** What is answered for `/api/accounts/me`. */
  names: Map<number, string>;
  requests(): { jwks: number; accounts: number };
  stop(): Promise<void>;
};

export async function startTestIssuer(): Promise<TestIssuer> {
  const names = new Map<number, string>();
  const counted = { jwks: 0, accounts: 0 };
  let keys: { kid: string; privateKey: JoseKey; jwk: object }[] = [];
  const rotate = async ({ forget = false } = {}) => {
    const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
    const kid = randomBytes(8).toString('hex');
    const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'EdDSA', use: 'sig' };
    keys = [{ kid, privateKey: privateKey as JoseKey, jwk }, ...(forget ? [] : keys)];
  };
  await rotate();

  const server = http.createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    if (request.url === '/.well-known/jwks.json') {
      counted.jwks += 1;
      response.end(JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }));
      return;
    }
    counted.accounts += 1;
    const payload = request.headers.authorization?.split('.')[1] ?? '';
    const id = Number(JSON.parse(Buffer.from(payload, 'base64url').toString()).sub);
    const name = names.get(id);
    response.statusCode = name === undefined ? 500 : 200;
    response.end(JSON.stringify(name === undefined ? {} : { id, email: 'e', display_name: name, role: 'customer' }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    names,
    rotate,
    requests: () => ({ ...counted }),
    token: (accountId, role, claims = {}) => {
      const [key] = keys;
      if (key === undefined) throw new Error('there is no key');
      return new SignJWT({ role, ...claims })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: key.kid })
        .setSubject(String(accountId))
        .setIssuer('shop')
        .setAudience('shop')
        .setIssuedAt()
        .setExpirationTime('15m')
        .sign(key.privateKey);
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export type TestCatalog = RunningCatalog & {
  url: string;
  database: FreshDatabase;
  issuer: TestIssuer;
  /** Sends a request; a `body` that is not a text is sent as JSON. */
  send(method: string, path: string, options?: SendOptions): Promise<TestAnswer>;
  /** Another instance on the same database and the same keys in Redis. */
  another(env?: NodeJS.ProcessEnv): Promise<RunningCatalog & { url: string; send: TestCatalog['send'] }>;
  stop(): Promise<void>;
};

export type SendOptions = { token?: string; headers?: Record<string, string>; body?: unknown };
export type TestAnswer = { status: number; headers: Headers; text: string; body: unknown };

/** A catalogue on a fresh database of its own, on free ports. `env` goes over what the tests need. */
export async function startTestCatalog(
  label: string,
  env: NodeJS.ProcessEnv = {},
  { clock, seed = seedCatalogue }: { clock?: Clock; seed?: (pool: Pool) => Promise<void> } = {},
): Promise<TestCatalog> {
  const database = await freshDatabase(label);
  const issuer = await startTestIssuer();
  const log = createLog({ name: 'catalog', level: process.env.TEST_LOG_LEVEL ?? 'fatal' });
  const running: RunningCatalog[] = [];

  const start = async (more: NodeJS.ProcessEnv) => {
    const config = catalogConfig({
      PORT: '0',
      GRPC_PORT: '0',
      DATABASE_URL: database.url,
      DATABASE_POOL_MAX: '8',
      REDIS_URL: testServers().redisUrl,
      REDIS_PREFIX: `${database.name}:`,
      // A busy machine must not look like a Redis that is away.
      CACHE_TIMEOUT: '1000',
      JWKS_URL: `${issuer.url}/.well-known/jwks.json`,
      DRAIN_GRACE: '5s',
      ...env,
      ...more,
    });
    const catalog = await startCatalog({ config, log, ...(clock ? { clock } : {}) });
    running.push(catalog);
    return { ...catalog, url: catalog.server.url, send: sender(catalog.server.url) };
  };
  const stop = async () => {
    for (const catalog of running) await catalog.lifecycle.stop('test');
    await issuer.stop();
    await removeKeys(testServers().redisUrl, `${database.name}:`);
    await database.drop();
  };

  try {
    await migrateUp(database.url, log);
    const pool = createPool(database.url, { connectionLimit: 1 });
    await seed(pool).finally(() => pool.end());
    return { ...(await start({})), database, issuer, another: (more = {}) => start(more), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function sender(url: string): TestCatalog['send'] {
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

/** 3 categories, 12 products (ids 1 to 12, of which 11 is not active and 12 archived) and 3 reviews of product 1. */
export async function seedCatalogue(pool: Pool): Promise<void> {
  const at = (n: number) => new Date(Date.UTC(2024, 0, 1, 0, 0, n, n));
  const categories = [
    [1, null, 'Garden', 'garden', at(0), at(0)],
    [2, 1, 'Tools', 'tools', at(0), at(0)],
    [3, null, 'Kitchen', 'kitchen', at(0), at(0)],
  ];
  await pool.query('INSERT INTO categories (id, parent_id, name, slug, created_at, updated_at) VALUES ?', [categories]);
  const products = Array.from({ length: 12 }, (_, index) => {
    const id = index + 1;
    const rated = id === 1;
    return [
      ...[id, `SKU-${id}`, `Thing ${String.fromCharCode(64 + id)}`, `What thing ${id} is.`, id % 3 === 0 ? 3 : 2],
      ...[id * 100, 'EUR', JSON.stringify({ size: id, colour: 'red', new: id > 6 }), id === 11 ? 0 : 1],
      ...[id === 12 ? at(99) : null, rated ? 12 : 0, rated ? 3 : 0, rated ? 4 : 0, 1, at(id), at(id)],
    ];
  });
  await pool.query(
    `INSERT INTO products (id, sku, name, description, category_id, price_cents, currency, attributes, active, archived_at,
        rating_sum, rating_count, rating_average, version, created_at, updated_at) VALUES ?`,
    [products],
  );
  const authors = [1, 2, 3].map((n) => [100 + n, `Author ${n}`]);
  await pool.query('INSERT INTO authors (id, display_name) VALUES ?', [authors]);
  const reviews = [3, 4, 5].map((rating, index) => {
    return [index + 1, 1, 101 + index, rating, `Title ${rating}`, 'Body', at(50 + index)];
  });
  await pool.query('INSERT INTO reviews (id, product_id, author_id, rating, title, body, created_at) VALUES ?', [
    reviews,
  ]);
}

/** `seedCatalogue`, and `count` products more in category 3, with ids from 1001 on. */
export async function seedManyProducts(pool: Pool, count: number): Promise<void> {
  await seedCatalogue(pool);
  for (let from = 0; from < count; from += 500) {
    const rows = Array.from({ length: Math.min(500, count - from) }, (_, at) => {
      const id = 1001 + from + at;
      const time = new Date(Date.UTC(2024, 1, 1, 0, 0, id));
      return [id, `MANY-${id}`, `Many ${id}`, 'x'.repeat(1000), 3, 90_000 + id, 'EUR', '{}', id % 5, time, time];
    });
    await pool.query(
      `INSERT INTO products (id, sku, name, description, category_id, price_cents, currency, attributes, rating_average,
         created_at, updated_at) VALUES ?`,
      [rows],
    );
  }
  await pool.query('ANALYZE TABLE products');
}
