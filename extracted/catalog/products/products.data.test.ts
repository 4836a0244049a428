import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startTestCatalog, type TestCatalog } from '../testing/catalog.ts';

let catalog: TestCatalog;
let admin: string;
beforeAll(async () => {
  catalog = await startTestCatalog('products');
  admin = await catalog.issuer.token(1, 'admin');
});
afterAll(() => catalog?.stop());

type Item = { id: number; name: string; price_cents: number; category: { name: string } };

async function allPages(query: string): Promise<number[]> {
  const ids: number[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const path = `/api/products?${query}${cursor === '' ? '' : `&cursor=${cursor}`}`;
    const page = (await catalog.send('GET', path)).body as { items: Item[]; next_cursor: string | null };
    ids.push(...page.items.map(({ id }) => id));
    cursor = page.next_cursor;
  }
  return ids;
}

test('a product has the version and a digest of its body as ETag', async () => {
  const { status, headers, body } = await catalog.send('GET', '/api/products/1');
  expect(status).toBe(200);
  expect(headers.get('etag')).toMatch(/^"1-[0-9a-f]{32}"$/);
  expect(headers.get('cache-control')).toBe('no-cache');
  expect(body).toMatchObject({
    id: 1,
    category: { id: 2, name: 'Tools', slug: 'tools' },
    attributes: { colour: 'red', new: false, size: 1 },
    rating: { average: 4, count: 3 },
  });
});

test.each(['name', '-name', 'price', '-price', 'rating', 'newest'])(
  'the pages of a list sorted by %s have every listed product once',
  async (sort) => {
    const whole = await allPages(`sort=${sort}&limit=100`);
    expect([...whole].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(await allPages(`sort=${sort}&limit=3`)).toEqual(whole);
  },
);

test('a category stands for itself and those beneath it', async () => {
  expect(await allPages('category=garden')).toEqual(await allPages('category=tools'));
  expect(await allPages('category=nothing')).toEqual([]);
});

test('a write is seen by the next read of every representation', async () => {
  const before = await catalog.send('GET', '/api/products/2');
  await catalog.send('GET', '/api/products?limit=5&sort=price');
  const patched = await catalog.send('PATCH', '/api/products/2', {
    token: admin,
    headers: { 'if-match': before.headers.get('etag') ?? '' },
    body: { price_cents: 1 },
  });
  expect(patched.status).toBe(200);
  const after = await catalog.send('GET', '/api/products/2');
  expect([after.text, after.headers.get('etag')]).toEqual([patched.text, patched.headers.get('etag')]);
  const list = (await catalog.send('GET', '/api/products?limit=5&sort=price')).body as { items: Item[] };
  expect(list.items[0]).toMatchObject({ id: 2, price_cents: 1 });
});

test('of two writers with one ETag one wins and the other is told', async () => {
  const tag = (await catalog.send('GET', '/api/products/3')).headers.get('etag') ?? '';
  const patches = [5, 6].map((price) =>
    catalog.send('PATCH', '/api/products/3', {
      token: admin,
      headers: { 'if-match': tag },
      body: { price_cents: price },
    }),
  );
  const statuses = (await Promise.all(patches)).map(({ status }) => status);
  expect(statuses.sort()).toEqual([200, 412]);
});

test('products show the new name of their category, with another ETag and the same version', async () => {
  const before = await catalog.send('GET', '/api/products/4');
  const put = await catalog.send('PUT', '/api/categories/2', {
    token: admin,
    body: { name: 'Hand tools', slug: 'tools', parent_id: 1 },
  });
  expect(put.status).toBe(200);
  const after = await catalog.send('GET', '/api/products/4');
  expect((after.body as Item).category.name).toBe('Hand tools');
  expect(after.headers.get('etag')).not.toBe(before.headers.get('etag'));
  expect(after.headers.get('etag')?.split('-')[0]).toBe(before.headers.get('etag')?.split('-')[0]);
});

test('a product that is created is found at once by an id that was asked for before', async () => {
  const next = 13;
  expect((await catalog.send('GET', `/api/products/${next}`)).status).toBe(404);
  const created = await catalog.send('POST', '/api/products', {
    token: admin,
    body: { sku: 'NEW-1', name: 'New', category_id: 3, price_cents: 5 },
  });
  expect([created.status, created.headers.get('location')]).toEqual([201, `/api/products/${next}`]);
  expect((await catalog.send('GET', `/api/products/${next}`)).text).toBe(created.text);
});

test('an archived product is found nowhere, and its SKU stays taken', async () => {
  const removed = await catalog.send('DELETE', '/api/products/5', { token: admin, headers: { 'if-match': '*' } });
  expect(removed.status).toBe(204);
  expect((await catalog.send('GET', '/api/products/5')).status).toBe(404);
  expect((await catalog.send('GET', '/api/products/5/reviews')).status).toBe(404);
  expect(await allPages('limit=100')).not.toContain(5);
  const again = await catalog.send('POST', '/api/products', {
    token: admin,
    body: { sku: 'SKU-5', name: 'Again', category_id: 3, price_cents: 5 },
  });
  expect(again.status).toBe(409);
});

test('a category with products, archived ones too, is not deleted', async () => {
  const refused = await catalog.send('DELETE', '/api/categories/2', { token: admin });
  expect(refused.body).toMatchObject({ status: 409, detail: expect.stringContaining('Category 2 is not empty') });
  expect((await catalog.send('DELETE', '/api/categories/1', { token: admin })).status).toBe(409);
});

test('the catalogue cannot read what is not its own', async () => {
  const refused = catalog.pool.query('SELECT user FROM mysql.user LIMIT 1');
  await expect(refused).rejects.toThrow(/denied/);
});
