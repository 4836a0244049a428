import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startTestShop, type TestAccount, type TestShop } from '../../testing/shop.ts';

let shop: TestShop;
let admin: TestAccount;
let customer: TestAccount;
let categoryId: number;
let serial = 0;

const fields = (change: Record<string, unknown> = {}) => ({
  sku: `SKU-${++serial}`,
  name: 'Plain mug',
  category_id: categoryId,
  price_cents: 1250,
  ...change,
});

const create = async (change: Record<string, unknown> = {}) => {
  const { status, body, headers } = await admin.client.post('/api/products', fields(change));
  expect(status).toBe(201);
  return { product: body, etag: headers.get('etag') ?? '', id: body.id as number };
};

const ifMatch = (etag: string) => ({ headers: { 'if-match': etag } });

beforeAll(async () => {
  shop = await startTestShop('products');
  admin = await shop.account('admin');
  customer = await shop.account('customer');
  categoryId = (await admin.client.post('/api/categories', { name: 'Kitchen', slug: 'kitchen' })).body.id;
});

afterAll(() => shop?.stop());

describe('creating a product', () => {
  test('it is found at its Location, as it was answered, with the same ETag', async () => {
    const created = await admin.client.post(
      '/api/products',
      fields({
        name: '  Blue \t mug ',
        description: 'Holds tea.',
        attributes: { colour: 'blue', a: 1.5, dishwasher: true },
      }),
    );
    const found = await shop.client.get(created.headers.get('location') ?? '');
    expect(found.text).toBe(created.text);
    expect(found.headers.get('etag')).toBe(created.headers.get('etag'));
    expect(found.body).toMatchObject({
      name: 'Blue mug',
      category: { id: categoryId, name: 'Kitchen', slug: 'kitchen' },
      currency: 'EUR',
      active: true,
      rating: { average: 0, count: 0 },
    });
    expect(Object.keys(found.body.attributes)).toEqual(['a', 'colour', 'dishwasher']);
  });

  test('every wrong field is named at once', async () => {
    const { status, body } = await admin.client.post('/api/products', { sku: 'no', price_cents: -1, colour: 'red' });
    expect(status).toBe(400);
    expect(body.errors.map((error: { path: string }) => error.path)).toEqual([
      'category_id',
      'colour',
      'name',
      'price_cents',
      'sku',
    ]);
  });

  test('a category that does not exist is refused before a SKU that is taken', async () => {
    const { product } = await create();
    const both = await admin.client.post('/api/products', fields({ sku: product.sku, category_id: 999_999 }));
    expect(both.body).toMatchObject({ status: 400, errors: [{ in: 'body', path: 'category_id' }] });
    expect((await admin.client.post('/api/products', fields({ sku: product.sku }))).status).toBe(409);
  });

  test('only admins may', async () => {
    expect((await shop.client.post('/api/products', fields())).status).toBe(401);
    expect((await customer.client.post('/api/products', fields())).status).toBe(403);
    expect((await shop.client.post('/api/products', fields(), { token: 'a.b.c' })).status).toBe(401);
  });

  test('a body that is not JSON, not of its type or too large is refused as such', async () => {
    const send = (raw: string, type: string) =>
      admin.client.request('POST', '/api/products', { raw, headers: { 'content-type': type } });
    expect((await send('{"sku":', 'application/json')).status).toBe(400);
    expect((await send('sku=A', 'application/x-www-form-urlencoded')).status).toBe(415);
    expect((await send(JSON.stringify('x'.repeat(200_000)), 'application/json')).status).toBe(413);
    expect((await admin.client.post('/api/products')).status).toBe(400);
  });
});

describe('reading a product', () => {
  test('one who has it is told 304, one who has another is not', async () => {
    const { id, etag } = await create();
    const same = await shop.client.get(`/api/products/${id}`, { headers: { 'if-none-match': `"x", W/${etag}` } });
    expect(same.status).toBe(304);
    expect(same.headers.get('etag')).toBe(etag);
    const other = await shop.client.get(`/api/products/${id}`, { headers: { 'if-none-match': '"x"' } });
    expect(other.status).toBe(200);
  });

  test('a modification date never decides: a price may change twice in a second', async () => {
    const { id } = await create();
    const found = await shop.client.get(`/api/products/${id}`);
    const again = await shop.client.get(`/api/products/${id}`, {
      headers: { 'if-modified-since': found.headers.get('last-modified') ?? '' },
    });
    expect(again.status).toBe(200);
  });

  test('what does not exist is 404, what cannot exist is 400', async () => {
    expect((await shop.client.get('/api/products/999999')).status).toBe(404);
    expect((await shop.client.get('/api/products/0')).status).toBe(400);
    expect((await shop.client.get('/api/products/1e3')).status).toBe(400);
  });

  test('HEAD has the headers of GET and no body', async () => {
    const { id, etag } = await create();
    const head = await shop.client.request('HEAD', `/api/products/${id}`);
    expect(head.status).toBe(200);
    expect(head.headers.get('etag')).toBe(etag);
    expect(head.text).toBe('');
  });
});

describe('changing a product', () => {
  test('without If-Match it is 428, with a stale one 412, with the current one it is done', async () => {
    const { id, product, etag } = await create();
    const change = fields({ sku: product.sku, price_cents: 999 });
    expect((await admin.client.put(`/api/products/${id}`, change)).status).toBe(428);
    expect((await admin.client.put(`/api/products/${id}`, change, ifMatch('"1-0"'))).status).toBe(412);
    const done = await admin.client.put(`/api/products/${id}`, change, ifMatch(etag));
    expect(done.body).toMatchObject({ id, price_cents: 999 });
    expect(done.headers.get('etag')).not.toBe(etag);
    expect((await admin.client.put(`/api/products/${id}`, change, ifMatch(etag))).status).toBe(412);
  });

  test('a weak tag does not prove what was read', async () => {
    const { id, etag } = await create();
    expect((await admin.client.patch(`/api/products/${id}`, {}, ifMatch(`W/${etag}`))).status).toBe(412);
  });

  test('a missing product is 404 whatever If-Match says, and 428 goes before it', async () => {
    expect((await admin.client.delete('/api/products/999999', ifMatch('*'))).status).toBe(404);
    expect((await admin.client.delete('/api/products/999999')).status).toBe(428);
  });

  test('replacing gives what is left out its default', async () => {
    const { id, etag } = await create({
      description: 'Old',
      attributes: { colour: 'red' },
      active: false,
      currency: 'CHF',
    });
    const { body } = await admin.client.put(`/api/products/${id}`, fields(), ifMatch(etag));
    expect(body).toMatchObject({ description: '', attributes: {}, active: true, currency: 'EUR' });
  });

  test('a merge patch changes what it names, in both of its media types', async () => {
    const { id, etag } = await create({ attributes: { colour: 'red', size: 5 }, description: 'Kept' });
    const first = await admin.client.request('PATCH', `/api/products/${id}`, {
      raw: JSON.stringify({ attributes: { colour: null, shape: 'round' } }),
      headers: { 'if-match': etag, 'content-type': 'application/merge-patch+json' },
    });
    expect(first.body).toMatchObject({ description: 'Kept', attributes: { shape: 'round', size: 5 } });
    expect(first.body.attributes).not.toHaveProperty('colour');
    const second = await admin.client.patch(`/api/products/${id}`, { price_cents: 1 }, ifMatch('*'));
    expect(second.body.price_cents).toBe(1);
  });

  test('an empty patch is a change: its ETag is new', async () => {
    const { id, etag } = await create();
    const { headers, status } = await admin.client.patch(`/api/products/${id}`, {}, ifMatch(etag));
    expect(status).toBe(200);
    expect(headers.get('etag')).not.toBe(etag);
  });

  test('a patch that leaves too many attributes is refused and changes nothing', async () => {
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`a${at}`, at]));
    const more = Object.fromEntries(Array.from({ length: 11 }, (_, at) => [`b${at}`, at]));
    const { id, etag } = await create({ attributes: many });
    const refused = await admin.client.patch(
      `/api/products/${id}`,
      { price_cents: 7, attributes: more },
      ifMatch(etag),
    );
    expect(refused.body).toMatchObject({ status: 400, errors: [{ in: 'body', path: 'attributes' }] });
    expect((await shop.client.get(`/api/products/${id}`)).headers.get('etag')).toBe(etag);
  });

  test('of many changes made on the same representation exactly one is accepted', async () => {
    const { id, etag } = await create();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, at) =>
        admin.client.patch(`/api/products/${id}`, { price_cents: at + 1 }, ifMatch(etag)),
      ),
    );
    const accepted = answers.filter((answer) => answer.status === 200);
    expect(accepted).toHaveLength(1);
    expect(answers.filter((answer) => answer.status === 412)).toHaveLength(9);
    expect((await shop.client.get(`/api/products/${id}`)).text).toBe(accepted[0]?.text);
  });

  test('of many changes that ask for no particular representation all are accepted, each on what the one before left', async () => {
    const { id } = await create();
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, at) =>
        admin.client.patch(`/api/products/${id}`, { attributes: { [`a${at}`]: at } }, ifMatch('*')),
      ),
    );
    expect(answers.map((answer) => answer.status)).toEqual(Array(8).fill(200));
    const { body, headers } = await shop.client.get(`/api/products/${id}`);
    expect(Object.keys(body.attributes)).toHaveLength(8);
    expect(headers.get('etag')).toMatch(/^"9-/);
  });
});

describe('deleting a product', () => {
  test('it is gone for every route, and its SKU stays taken', async () => {
    const { id, product, etag } = await create({ name: 'Doomed teapot' });
    expect((await admin.client.delete(`/api/products/${id}`, ifMatch('"1-0"'))).status).toBe(412);
    expect((await admin.client.delete(`/api/products/${id}`, ifMatch(etag))).status).toBe(204);
    expect((await shop.client.get(`/api/products/${id}`)).status).toBe(404);
    expect((await shop.client.get(`/api/products/${id}/reviews`)).status).toBe(404);
    expect((await admin.client.delete(`/api/products/${id}`, ifMatch('*'))).status).toBe(404);
    expect((await shop.client.get('/api/products?q=doomed')).body.items).toEqual([]);
    expect((await admin.client.post('/api/products', fields({ sku: product.sku }))).status).toBe(409);
  });

  test('a product that is only not active is shown by id and in no list', async () => {
    const { id } = await create({ name: 'Hidden kettle', active: false });
    expect((await shop.client.get(`/api/products/${id}`)).body.active).toBe(false);
    expect((await shop.client.get('/api/products?q=hidden')).body.items).toEqual([]);
  });
});

test('a renamed category changes the ETag of its products, so nobody keeps the old name', async () => {
  const { body: category } = await admin.client.post('/api/categories', { name: 'Pans', slug: 'pans' });
  const { id, etag } = await create({ category_id: category.id });
  await admin.client.put(`/api/categories/${category.id}`, { name: 'Pots', slug: 'pots' });
  const { status, body } = await shop.client.get(`/api/products/${id}`, { headers: { 'if-none-match': etag } });
  expect(status).toBe(200);
  expect(body.category).toEqual({ id: category.id, name: 'Pots', slug: 'pots' });
});

test('text in any script comes back as it was sent', async () => {
  const name = 'Fläschchen 茶壶 🫖 чайник';
  const { product } = await create({ name, attributes: { note: '🫖 "quoted" \\ back' } });
  expect(product.name).toBe(name);
  expect(product.attributes).toEqual({ note: '🫖 "quoted" \\ back' });
});

test('numbers among the attributes come back as they were sent', async () => {
  const numbers = { a: 0.1, b: 1e21, c: -5, d: 9007199254740991, e: 1.5e-7, f: 0 };
  const { product } = await create({ attributes: numbers });
  expect(product.attributes).toEqual(numbers);
});
