import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  type AppliedChange,
  appliedExchange,
  appliedRoutingKey,
  formatAppliedMessage,
  maxAppliedChanges,
} from '@strangler/platform/contracts/applied-message.ts';
import { createLog } from '@strangler/platform/log.ts';
import { deleteTopology } from '@strangler/platform/outbox/declare.ts';
import { connect, type RabbitConnection } from '@strangler/platform/rabbit.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { startTestCatalog, type TestCatalog } from '../testing/catalog.ts';
import { listenerTopology } from './change-listener.ts';

const log = createLog({ name: 'test', level: 'silent' });
const suffix = randomBytes(4).toString('hex');
const exchange = `test-cache-${suffix}`;
const queue = `catalog.cache.${suffix}`;

let rabbit: RabbitConnection;
let rabbitLine: TcpProxy;
let redisLine: TcpProxy;
let catalog: TestCatalog;

beforeAll(async () => {
  const servers = testServers();
  rabbit = connect({ url: servers.rabbitmqUrl, log });
  rabbitLine = await startTcpProxy(servers.rabbitmqUrl);
  redisLine = await startTcpProxy(servers.redisUrl);
  catalog = await startTestCatalog('listener', {
    RABBITMQ_URL: rabbitLine.url,
    OUTBOX_EXCHANGE: exchange,
    CACHE_QUEUE: queue,
    REDIS_URL: redisLine.url,
    CACHE_TIMEOUT: '200',
    // Nothing but announcements ends what is cached.
    CACHE_FRESH: '10m',
    CACHE_KEEP: '20m',
  });
  await eventually(async () => expect(await metric('catalog_cache_listening')).toBe(1));
});
afterAll(async () => {
  await catalog?.stop();
  for (const line of [rabbitLine, redisLine]) await line?.close();
  if (rabbit) await deleteTopology(rabbit, listenerTopology(exchange, queue));
  await rabbit?.close();
});

async function metric(name: string): Promise<number> {
  const { text } = await catalog.send('GET', '/metrics');
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const handled = () => metric(`consumer_messages_total{consumer="${queue}",outcome="done"`);

const changeOf = (id: number, op: AppliedChange['op']): AppliedChange => ({
  key: { id: String(id) },
  keyText: String(id),
  op,
  version: { epoch: 1, id: String(id) },
  at: new Date().toISOString().replace('Z', '000Z'),
});

async function publish(table: string, body: string): Promise<void> {
  const channel = await rabbit.confirmChannel();
  channel.publish(appliedExchange(exchange), appliedRoutingKey('catalog', table), Buffer.from(body), {
    persistent: true,
  });
  await channel.waitForConfirms();
  await channel.close();
}

/** What an applier says after its commit. */
const announce = (table: string, op: AppliedChange['op'], ...ids: number[]): Promise<void> =>
  publish(
    table,
    formatAppliedMessage({
      slice: 'catalog',
      table,
      target: table === 'accounts' ? 'authors' : table,
      appliedAt: new Date().toISOString(),
      extent: ids.length === 0 ? 'table' : 'changes',
      changes: ids.map((id) => changeOf(id, op)),
    }),
  );

const bodyOf = async (path: string): Promise<unknown> => (await catalog.send('GET', path)).body;

/** Until Redis is connected and holds it: a read of the database would show every change at once. */
async function cache(path: string): Promise<unknown> {
  const hits = () => metric(`catalog_cache_reads_total{kind="${kindOf(path)}",outcome="hit"`);
  await eventually(async () => {
    const before = await hits();
    await bodyOf(path);
    expect(await hits()).toBeGreaterThan(before);
  });
  return bodyOf(path);
}

function kindOf(path: string): string {
  if (path.includes('/reviews')) return 'reviews';
  if (path.includes('/categories')) return 'categories';
  return /products\/\d+$/.test(path) ? 'product' : 'products';
}

describe('what the pipe writes is shown once it has been announced:', () => {
  test.each<[string, string, string, Parameters<typeof announce>, RegExp]>([
    [
      'a product',
      '/api/products/1',
      'UPDATE products SET price_cents = 4711 WHERE id = 1',
      ['products', 'upsert', 1],
      /"price_cents":4711/,
    ],
    [
      'a product in a list',
      '/api/products?sort=price&limit=1',
      'UPDATE products SET price_cents = 7 WHERE id = 2',
      ['products', 'upsert', 2],
      /"price_cents":7,/,
    ],
    [
      'a product that was not there',
      '/api/products/99',
      `INSERT INTO products (id, sku, name, description, category_id, price_cents, currency, attributes, created_at, updated_at)
       VALUES (99, 'SKU-99', 'New', '', 3, 1, 'EUR', '{}', NOW(), NOW())`,
      ['products', 'upsert', 98, 99],
      /"id":99/,
    ],
    [
      'a category’s name in its products',
      '/api/products/3',
      "UPDATE categories SET name = 'Kitchen and more' WHERE id = 3",
      ['categories', 'upsert', 3],
      /Kitchen and more/,
    ],
    [
      'a category in the tree',
      '/api/categories',
      "UPDATE categories SET name = 'Tools and more' WHERE id = 2",
      ['categories', 'upsert', 2],
      /Tools and more/,
    ],
    [
      'a review',
      '/api/products/1/reviews',
      "UPDATE reviews SET title = 'Another title' WHERE id = 1",
      ['reviews', 'upsert', 1],
      /Another title/,
    ],
    [
      'that a review is gone, though the product was announced before',
      '/api/products/1/reviews',
      'DELETE FROM reviews WHERE id = 2',
      ['reviews', 'delete', 2],
      /^(?!.*"id":2,)/,
    ],
    [
      'an author’s name',
      '/api/products/1/reviews',
      "UPDATE authors SET display_name = 'Author Won' WHERE id = 101",
      ['accounts', 'upsert', 101],
      /Author Won/,
    ],
  ])('%s', async (_what, path, write, announcement, expected) => {
    const missing = (await catalog.send('GET', path)).status === 404;
    const before = missing ? await bodyOf(path) : await cache(path);
    await catalog.pool.query(write);
    if (!missing) expect(await bodyOf(path)).toEqual(before);
    await announce(...announcement);
    await eventually(async () => expect((await catalog.send('GET', path)).text).toMatch(expected));
  });
});

test('an account that has reviewed nothing costs no entry', async () => {
  await cache('/api/products/1/reviews');
  const [done, misses] = [await handled(), await metric('catalog_cache_reads_total{kind="reviews",outcome="miss"')];
  await announce('accounts', 'upsert', 900, 901);
  await eventually(async () => expect(await handled()).toBe(done + 1));
  await bodyOf('/api/products/1/reviews');
  expect(await metric('catalog_cache_reads_total{kind="reviews",outcome="miss"')).toBe(misses);
});

test('more changes than are told apart give up the whole cache', async () => {
  await cache('/api/products/4');
  await catalog.pool.query('UPDATE products SET price_cents = 1234 WHERE id = 4');
  const ids = Array.from({ length: maxAppliedChanges }, (_, at) => 10_000 + at);
  await announce('products', 'upsert', ...ids.slice(0, -1), 4);
  await announce('products', 'upsert', ...ids.map((id) => id + 1000));
  await eventually(async () => expect(await bodyOf('/api/products/4')).toMatchObject({ price_cents: 1234 }));
});

test('a copy of a table, whose rows nobody names, gives up the whole cache', async () => {
  await cache('/api/products/4');
  await catalog.pool.query('UPDATE products SET price_cents = 4321 WHERE id = 4');
  await announce('products', 'upsert');
  await eventually(async () => expect(await bodyOf('/api/products/4')).toMatchObject({ price_cents: 4321 }));
});

test('no read that races with a change leaves the old value behind', async () => {
  const path = '/api/products/5';
  await cache(path);
  const stop = new AbortController();
  const readers = Array.from({ length: 6 }, async () => {
    while (!stop.signal.aborted) await bodyOf(path);
  });
  try {
    for (let price = 5001; price <= 5040; price += 1) {
      const done = await handled();
      await catalog.pool.query('UPDATE products SET price_cents = ? WHERE id = 5', [price]);
      await announce('products', 'upsert', 5);
      await eventually(async () => expect(await handled()).toBeGreaterThan(done));
      // From now on every read, from the cache or not.
      for (let n = 0; n < 3; n += 1) expect(await bodyOf(path)).toMatchObject({ price_cents: price });
    }
  } finally {
    stop.abort();
    await Promise.all(readers);
  }
  expect(await metric('catalog_cache_change_age_seconds_count')).toBeGreaterThanOrEqual(80);
}, 180_000);

test('an announcement that cannot be read gives up the whole cache, and is put by with its reason', async () => {
  await cache('/api/products/6');
  await catalog.pool.query('UPDATE products SET price_cents = 6789 WHERE id = 6');
  await publish('products', '{"slice":"catalog"');
  await eventually(async () => expect(await bodyOf('/api/products/6')).toMatchObject({ price_cents: 6789 }));
  const channel = await rabbit.channel();
  const letter = await eventually(() => channel.get(`${queue}.dead`, { noAck: true }));
  expect(letter?.properties.headers?.['x-strangler-reason']).toMatch(/expected a JSON message/);
  await channel.close();
});

test('without RabbitMQ the catalogue is ready and serves; what was announced meanwhile is shown when it is back', async () => {
  await cache('/api/products/7');
  await rabbitLine.refuse();
  await eventually(async () => expect(await metric('catalog_cache_listening')).toBe(0));
  expect((await catalog.send('GET', '/health/ready')).status).toBe(200);
  await catalog.pool.query('UPDATE products SET price_cents = 7890 WHERE id = 7');
  await announce('products', 'upsert', 7);
  expect((await catalog.send('GET', '/api/products/7')).status).toBe(200);
  await rabbitLine.pass();
  await eventually(async () => expect(await bodyOf('/api/products/7')).toMatchObject({ price_cents: 7890 }), {
    withinMs: 60_000,
  });
});

test('an announcement is not done with before Redis has been told', async () => {
  await cache('/api/products/8');
  const done = await handled();
  await redisLine.refuse();
  await catalog.pool.query('UPDATE products SET price_cents = 8901 WHERE id = 8');
  await announce('products', 'upsert', 8);
  // Not from the cache any more, though Redis holds the old one still.
  await eventually(async () => expect(await bodyOf('/api/products/8')).toMatchObject({ price_cents: 8901 }));
  await eventually(async () => expect(await metric('catalog_cache_owed_invalidations')).toBeGreaterThan(0));
  expect(await handled()).toBe(done);
  await redisLine.pass();
  await eventually(async () => expect(await handled()).toBe(done + 1));
  await cache('/api/products/8');
  expect(await bodyOf('/api/products/8')).toMatchObject({ price_cents: 8901 });
});

test('an instance that stops leaves the announcements to the other', async () => {
  const other = await catalog.another();
  await cache('/api/products/9');
  await other.lifecycle.stop('test');
  await catalog.pool.query('UPDATE products SET price_cents = 9012 WHERE id = 9');
  for (let n = 0; n < 5; n += 1) await announce('products', 'upsert', 9);
  await eventually(async () => expect(await bodyOf('/api/products/9')).toMatchObject({ price_cents: 9012 }));
});
