import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { dryRunMediaType, parseDryRunAnswer } from '@strangler/platform/contracts/dry-run.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { createClient } from 'redis';
import { type SendOptions, startTestCatalog, type TestCatalog } from '../testing/catalog.ts';

let flags: TestFlags;
let catalog: TestCatalog;
let pool: Pool;
let admin: string;
let customer: string;

beforeAll(async () => {
  flags = await startTestFlags();
  await flags.set('monolith', 3, 'canary');
  catalog = await startTestCatalog('dry', { STRANGLER_FLAGS: flags.address, FENCE_WAIT: '15s' });
  [admin, customer] = await Promise.all([catalog.issuer.token(1, 'admin'), catalog.issuer.token(104, 'customer')]);
  catalog.issuer.names.set(104, 'Somebody new');
  pool = createPool(catalog.database.url, { connectionLimit: 2 });
});
afterAll(async () => {
  await pool?.end();
  await catalog?.stop();
  await flags?.stop();
});

/** Everything that is in the database, row by row. */
async function everything(): Promise<Record<string, unknown[]>> {
  const [tables] = await pool.query<RowDataPacket[]>(
    "SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' ORDER BY 1",
  );
  const all: Record<string, unknown[]> = {};
  for (const { name } of tables) {
    const [rows] = await pool.query<RowDataPacket[]>('SELECT * FROM ??', [name]);
    all[name] = rows.map((row) => JSON.stringify(row)).sort();
  }
  return all;
}

/** Every key of the cache, but for what only says how long it is good. */
async function cached(): Promise<Record<string, string | null>> {
  const redis = createClient({ url: testServers().redisUrl });
  await redis.connect();
  const all: Record<string, string | null> = {};
  for await (const keys of redis.scanIterator({ MATCH: `${catalog.database.name}:*`, COUNT: 1000 })) {
    for (const key of keys) all[key] = await redis.get(key);
  }
  redis.destroy();
  return all;
}

async function dryRun(method: string, path: string, { headers = {}, ...options }: SendOptions = {}) {
  const sent = await catalog.send(method, path, { ...options, headers: { 'x-strangler-dry-run': '1', ...headers } });
  const told = sent.headers.get('content-type') === dryRunMediaType ? parseDryRunAnswer(sent.text) : undefined;
  const text = Buffer.from(told?.answer.bodyBase64 ?? '', 'base64').toString('utf8');
  return {
    sent,
    told,
    status: told?.answer.status,
    header: (name: string) => told?.answer.headers.find(([found]) => found === name)?.[1],
    body: text === '' ? undefined : JSON.parse(text),
    events: told?.effects.events,
  };
}

const whole = { sku: 'DRY-1', name: 'Dry', category_id: 2, price_cents: 100 };
const star = { 'if-match': '*' };
const requests: [string, string, number, SendOptions | (() => SendOptions), string[]][] = [
  ['POST', '/api/products', 201, () => ({ token: admin, body: whole }), ['product.created']],
  ['POST', '/api/products', 400, () => ({ token: admin, body: { ...whole, price_cents: -1 } }), []],
  ['POST', '/api/products', 400, () => ({ token: admin, body: { ...whole, category_id: 77 } }), []],
  ['POST', '/api/products', 409, () => ({ token: admin, body: { ...whole, sku: 'SKU-1' } }), []],
  ['POST', '/api/products', 401, { body: whole }, []],
  ['POST', '/api/products', 403, () => ({ token: customer, body: whole }), []],
  ['PUT', '/api/products/2', 200, () => ({ token: admin, headers: star, body: whole }), ['product.changed']],
  [
    'PATCH',
    '/api/products/2',
    200,
    () => ({ token: admin, headers: star, body: { active: false } }),
    ['product.changed'],
  ],
  ['PATCH', '/api/products/2', 412, () => ({ token: admin, headers: { 'if-match': '"1"' }, body: {} }), []],
  ['PATCH', '/api/products/2', 428, () => ({ token: admin, body: {} }), []],
  ['PATCH', '/api/products/99', 404, () => ({ token: admin, headers: star, body: {} }), []],
  ['DELETE', '/api/products/2', 204, () => ({ token: admin, headers: star }), ['product.removed']],
  ['POST', '/api/categories', 201, () => ({ token: admin, body: { name: 'D', slug: 'd' } }), ['category.created']],
  ['PUT', '/api/categories/2', 200, () => ({ token: admin, body: { name: 'D', slug: 'd' } }), ['category.changed']],
  ['DELETE', '/api/categories/3', 409, () => ({ token: admin }), []],
  [
    'POST',
    '/api/products/1/reviews',
    201,
    () => ({ token: customer, body: { rating: 2, title: 'T', body: 'B' } }),
    ['review.posted'],
  ],
  ['DELETE', '/api/products/1/reviews/1', 204, () => ({ token: admin }), ['review.removed']],
  ['DELETE', '/api/products/1/reviews/1', 403, () => ({ token: customer }), []],
];

/** As the engine installs it: only a session with the pass of a closed fence writes. */
async function installFence(): Promise<void> {
  await pool.query(
    'CREATE TABLE IF NOT EXISTS strangler_fence (slice VARCHAR(64) PRIMARY KEY, state VARCHAR(8), pass VARBINARY(64), epoch INT UNSIGNED, owner VARCHAR(16)) ENGINE=InnoDB',
  );
  await pool.query("REPLACE INTO strangler_fence VALUES ('catalog', 'closed', 'the-pass', 3, 'monolith')");
  for (const table of ['products', 'categories', 'reviews']) {
    for (const event of ['INSERT', 'UPDATE', 'DELETE']) {
      await pool.query(`CREATE TRIGGER fence_${table}_${event} BEFORE ${event} ON ${table} FOR EACH ROW
        BEGIN
          IF NOT EXISTS (SELECT 1 FROM strangler_fence WHERE slice = 'catalog'
              AND IF(CONVERT(@strangler_apply USING utf8mb4) <=> '1', state = 'closed' AND pass = CAST(@strangler_pass AS BINARY), state = 'open')
              LOCK IN SHARE MODE) THEN
            SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 45045, MESSAGE_TEXT = 'strangler fence: catalog epoch 3, owner monolith: closed';
          END IF;
        END`);
    }
  }
}

describe.each([
  ['without a fence', async () => {}],
  ['with its tables fenced', installFence],
] as const)('a dry run, %s,', (_name, prepare) => {
  beforeAll(prepare);
  let before: Awaited<ReturnType<typeof everything>>;
  let keys: Awaited<ReturnType<typeof cached>>;
  beforeEach(async () => {
    await catalog.send('GET', '/api/products/2');
    await catalog.send('GET', '/api/categories');
    [before, keys] = [await everything(), await cached()];
  });
  afterEach(async () => {
    expect(await everything()).toEqual(before);
    expect(await cached()).toEqual(keys);
  });

  test.each(requests)('answers %s %s with %i and leaves nothing', async (method, path, status, options, types) => {
    const { sent, told, events, ...rest } = await dryRun(
      method,
      path,
      typeof options === 'function' ? options() : options,
    );
    expect({ status: sent.status, told: told !== undefined }).toEqual({ status: 200, told: true });
    expect({ status: rest.status, types: events?.map(({ type }) => type) }).toEqual({ status, types });
  });

  test('shows the whole answer that the request would have had', async () => {
    const { header, body, events } = await dryRun('POST', '/api/products', { token: admin, body: whole });
    expect(body).toMatchObject({ sku: 'DRY-1', name: 'Dry', price_cents: 100, category: { id: 2 } });
    expect(header('location')).toBe(`/api/products/${body.id}`);
    expect(header('etag')).toMatch(/^"1-[0-9a-f]{32}"$/);
    expect(events).toEqual([
      {
        type: 'product.created',
        key: `${body.id}`,
        payload: {
          ...{ product_id: body.id, version: 1, sku: 'DRY-1', name: 'Dry', category_id: 2, price_cents: 100 },
          ...{ currency: 'EUR', active: true, occurred_at: body.created_at },
        },
      },
    ]);
  });

  test('does not look at the epoch that it was sent under', async () => {
    for (const epoch of ['1', '999']) {
      const headers = { ...star, 'x-strangler-epoch': epoch };
      expect((await dryRun('PATCH', '/api/products/2', { token: admin, headers, body: {} })).status).toBe(200);
    }
  });

  test('beside others leaves nothing either, and live reads are answered meanwhile', async () => {
    const all = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        dryRun('PUT', `/api/products/${1 + (n % 3)}`, {
          token: admin,
          headers: star,
          body: { ...whole, sku: `D-${n}` },
        }),
      ),
    );
    for (const { sent } of all) expect([200, 503]).toContain(sent.status);
    expect(all.some(({ status }) => status === 200)).toBe(true);
    expect((await catalog.send('GET', '/api/products/2')).status).toBe(200);
  });

  test('that is broken off by the death of its connection leaves nothing', async () => {
    const blocker = await pool.getConnection();
    await blocker.query('START TRANSACTION');
    await blocker.query('SELECT id FROM products WHERE id = 4 FOR UPDATE');
    const asked = dryRun('PATCH', '/api/products/4', { token: admin, headers: star, body: { price_cents: 1 } });
    const killer = createPool(catalog.database.adminUrl, { connectionLimit: 1 });
    await eventually(async () => {
      const [found] = await killer.query<RowDataPacket[]>(
        "SELECT ID AS id FROM information_schema.PROCESSLIST WHERE DB = ? AND INFO LIKE 'SELECT id FROM products%FOR UPDATE' AND COMMAND = 'Query'",
        [catalog.database.name],
      );
      const [one] = found;
      if (one) await killer.query(`KILL ${Number(one.id)}`);
      return one !== undefined;
    });
    const { sent } = await asked;
    await blocker.query('ROLLBACK');
    blocker.release();
    await killer.end();
    expect(sent.status).toBe(503);
  });
});

describe('what cannot be done and undone', () => {
  test('is refused with 501, whatever the route, with nothing done', async () => {
    const before = await everything();
    for (const [method, path] of [
      ['PUT', '/internal/price-rules/run/rule'],
      ['GET', '/internal/products?ids=1'],
      ['POST', '/nothing/here'],
    ] as const) {
      const { sent } = await dryRun(method, path, {
        token: admin,
        body: method === 'GET' ? undefined : { percent: 50 },
      });
      expect(sent.status).toBe(501);
      expect(sent.headers.get('content-type')).toContain('application/problem+json');
    }
    expect(await everything()).toEqual(before);
  });
});

test('a service that can do it says so to whoever asks', async () => {
  expect((await catalog.send('GET', '/.well-known/strangler-dry-run')).body).toEqual({ dryRun: true });
});
