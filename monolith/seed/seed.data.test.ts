import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import { SEED_PASSWORD } from '../modules/accounts/seed.ts';
import { startTestShop, type TestShop } from '../testing/shop.ts';
import { DatabaseNotEmpty, seed } from './seed.ts';

let shop: TestShop;
let other: FreshDatabase;

beforeAll(async () => {
  shop = await startTestShop('seed');
  other = await freshDatabase('seed_other');
  await seed({ url: shop.databaseUrl, size: 1000, seed: 42 });
});

afterAll(async () => {
  await shop?.stop();
  await other?.drop();
});

test('the seeded shop is used as any other: what it shows is as described', async () => {
  const { body } = await shop.client.get('/api/products?sort=rating&limit=100');
  expect(body.items).toHaveLength(100);
  for (const { id } of body.items.slice(0, 10)) {
    expect((await shop.client.get(`/api/products/${id}/reviews`)).body.items.length).toBeGreaterThan(0);
    expect((await shop.client.get(`/api/products/${id}`)).status).toBe(200);
  }
  const tree = (await shop.client.get('/api/categories')).body.items;
  expect(tree).toHaveLength(8);
  expect(tree.every((root: { children: unknown[] }) => root.children.length === 5)).toBe(true);
});

test('it shows the same to the byte whatever the engine and the day', async () => {
  const hash = createHash('sha256');
  for (let cursor = ''; ; ) {
    const { text, body } = await shop.client.get(`/api/products?sort=name&limit=100${cursor}`);
    hash.update(text);
    if (body.next_cursor === null) break;
    cursor = `&cursor=${body.next_cursor}`;
  }
  for (let id = 1; id <= 200; id++) {
    const { text, headers } = await shop.client.get(`/api/products/${id}/reviews`);
    hash.update(text).update(headers.get('etag') ?? '');
  }
  hash.update((await shop.client.get('/api/categories')).text);
  expect(hash.digest('hex')).toBe('27f32c27965defa01975ac9f341d8b4737041168fb8c3bb4b4bdf9ec03548e82');
});

test('the known accounts log in with the known password', async () => {
  for (const email of ['admin@shop.example', 'customer1@shop.example']) {
    const { status, body } = await shop.client.post('/api/sessions', { email, password: SEED_PASSWORD });
    expect(status).toBe(201);
    const client = shop.client.as(body.access_token);
    expect((await client.get('/api/accounts/me')).body.email).toBe(email);
    expect((await client.get('/api/orders')).status).toBe(200);
  }
});

test('new rows get the ids that follow', async () => {
  const { body } = await shop.client.post('/api/sessions', { email: 'admin@shop.example', password: SEED_PASSWORD });
  const product = { sku: 'NEW-1', name: 'New', category_id: 9, price_cents: 1 };
  expect((await shop.client.as(body.access_token).post('/api/products', product)).body.id).toBe(1001);
});

test('a database that has rows is refused, and is filled anew when that is asked for', async () => {
  await seed({ url: other.url, size: 30, seed: 1 });
  await expect(seed({ url: other.url, size: 30, seed: 1 })).rejects.toThrow(DatabaseNotEmpty);
  const progress: number[] = [];
  const summary = await seed({
    url: other.url,
    size: 20,
    seed: 2,
    reset: true,
    onProgress: ({ rowsDone }) => progress.push(rowsDone),
  });
  expect(summary.tables.find(({ table }) => table === 'products')?.rows).toBe(20);
  expect(progress.at(-1)).toBe(summary.rows);
});
