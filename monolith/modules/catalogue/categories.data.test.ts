import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { countStatements } from '@strangler/platform/mysql/sequelize.ts';
import { startTestShop, type TestAccount, type TestShop } from '../../testing/shop.ts';
import type { CategoryTree } from './category-tree.ts';

let shop: TestShop;
let admin: TestAccount;

const add = async (slug: string, parentId: number | null = null): Promise<number> => {
  const { body, status } = await admin.client.post('/api/categories', { name: slug, slug, parent_id: parentId });
  expect(status).toBe(201);
  return body.id;
};

const addProduct = async (sku: string, categoryId: number, active = true): Promise<number> => {
  const product = { sku, name: sku, category_id: categoryId, price_cents: 1, active };
  return (await admin.client.post('/api/products', product)).body.id;
};

const treeOf = async (slug: string): Promise<CategoryTree | undefined> => {
  const { body } = await shop.client.get<{ items: CategoryTree[] }>('/api/categories');
  return body.items.find((root) => root.slug === slug);
};

beforeAll(async () => {
  shop = await startTestShop('categories');
  admin = await shop.account('admin');
});

afterAll(() => shop?.stop());

test('the tree shows every category beneath its parent, and counts what is on sale beneath each', async () => {
  const root = await add('root');
  const left = await add('left', root);
  await add('right', root);
  const leaf = await add('leaf', left);
  await addProduct('IN-ROOT', root);
  await addProduct('IN-LEAF', leaf);
  await addProduct('NOT-ON-SALE', leaf, false);
  expect(await treeOf('root')).toMatchObject({
    product_count: 2,
    children: [
      { slug: 'left', product_count: 1, children: [{ slug: 'leaf', product_count: 1, children: [] }] },
      { slug: 'right', product_count: 0, children: [] },
    ],
  });
});

test('the tree takes one statement, however many categories there are', async () => {
  const { statements } = await countStatements(shop.database.sequelize, () => shop.client.get('/api/categories'));
  expect(statements).toHaveLength(1);
});

test('the tree has an ETag that changes when a product is added', async () => {
  const { headers } = await shop.client.get('/api/categories');
  const ifNoneMatch = { headers: { 'if-none-match': headers.get('etag') ?? '' } };
  expect((await shop.client.get('/api/categories', ifNoneMatch)).status).toBe(304);
  await addProduct('ONE-MORE', await add('counted'));
  expect((await shop.client.get('/api/categories', ifNoneMatch)).status).toBe(200);
});

test('a slug names one category', async () => {
  await add('only-one');
  expect((await admin.client.post('/api/categories', { name: 'Another', slug: 'only-one' })).status).toBe(409);
  const other = await add('another');
  expect((await admin.client.put(`/api/categories/${other}`, { name: 'x', slug: 'only-one' })).status).toBe(409);
});

test('a category moves with all that is beneath it', async () => {
  const from = await add('from');
  const to = await add('to');
  const moved = await add('moved', from);
  await add('beneath-moved', moved);
  const answer = await admin.client.put(`/api/categories/${moved}`, { name: 'Moved', slug: 'moved', parent_id: to });
  expect(answer.body).toEqual({ id: moved, parent_id: to, name: 'Moved', slug: 'moved' });
  expect((await treeOf('from'))?.children).toEqual([]);
  expect((await treeOf('to'))?.children).toMatchObject([{ slug: 'moved', children: [{ slug: 'beneath-moved' }] }]);
});

test('a category is never beneath itself', async () => {
  const top = await add('top');
  const below = await add('below', top);
  for (const parentId of [top, below]) {
    const { status, body } = await admin.client.put(`/api/categories/${top}`, {
      name: 'top',
      slug: 'top',
      parent_id: parentId,
    });
    expect(status).toBe(400);
    expect(body.errors).toMatchObject([{ in: 'body', path: 'parent_id' }]);
  }
});

test('two moves at the same time make no cycle', async () => {
  const a = await add('cycle-a');
  const b = await add('cycle-b');
  const move = (id: number, slug: string, parentId: number) =>
    admin.client.put(`/api/categories/${id}`, { name: slug, slug, parent_id: parentId });
  const answers = await Promise.all([move(a, 'cycle-a', b), move(b, 'cycle-b', a)]);
  expect(answers.map((answer) => answer.status).sort()).toEqual([200, 400]);
});

test('only an empty category is deleted', async () => {
  const parent = await add('parent');
  const child = await add('child', parent);
  const product = await addProduct('IN-CHILD', child);
  expect((await admin.client.delete(`/api/categories/${parent}`)).status).toBe(409);
  expect((await admin.client.delete(`/api/categories/${child}`)).status).toBe(409);
  await admin.client.delete(`/api/products/${product}`, { headers: { 'if-match': '*' } });
  expect((await admin.client.delete(`/api/categories/${child}`)).status).toBe(409);
  const empty = await add('empty');
  expect((await admin.client.delete(`/api/categories/${empty}`)).status).toBe(204);
  expect((await admin.client.delete(`/api/categories/${empty}`)).status).toBe(404);
});

test('a parent that does not exist, or a category that does not, is refused', async () => {
  expect((await admin.client.post('/api/categories', { name: 'x', slug: 'x', parent_id: 999_999 })).status).toBe(400);
  expect((await admin.client.put('/api/categories/999999', { name: 'x', slug: 'x' })).status).toBe(404);
});

test('only admins change categories', async () => {
  const customer = await shop.account('customer');
  const id = await add('guarded');
  expect((await customer.client.post('/api/categories', { name: 'x', slug: 'x' })).status).toBe(403);
  expect((await customer.client.delete(`/api/categories/${id}`)).status).toBe(403);
  expect((await shop.client.put(`/api/categories/${id}`, { name: 'x', slug: 'x' })).status).toBe(401);
});
