import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { countStatements } from '@strangler/platform/mysql/sequelize.ts';
import { startTestShop, type TestAccount, type TestShop } from '../../testing/shop.ts';
import type { ReviewView } from './review-service.ts';

let shop: TestShop;
let admin: TestAccount;
let categoryId: number;
let serial = 0;

const addProduct = async (): Promise<string> => {
  const product = { sku: `REV-${++serial}`, name: 'Reviewed', category_id: categoryId, price_cents: 1 };
  const { body } = await admin.client.post('/api/products', product);
  return `/api/products/${body.id}`;
};

const review = (rating: number) => ({ rating, title: 'A title', body: 'A body.' });

const reviewBy = async (path: string, rating: number, displayName = 'Somebody') => {
  const account = await shop.account('customer', displayName);
  const { body, status } = await account.client.post<ReviewView>(`${path}/reviews`, review(rating));
  expect(status).toBe(201);
  return { account, review: body };
};

beforeAll(async () => {
  shop = await startTestShop('reviews');
  admin = await shop.account('admin');
  categoryId = (await admin.client.post('/api/categories', { name: 'c', slug: 'c' })).body.id;
});

afterAll(() => shop?.stop());

test('a review counts at once in the rating of the product, and stops counting when deleted', async () => {
  const path = await addProduct();
  await reviewBy(path, 5);
  const { account, review: second } = await reviewBy(path, 2);
  expect((await shop.client.get(path)).body.rating).toEqual({ average: 3.5, count: 2 });
  expect((await account.client.delete(`${path}/reviews/${second.id}`)).status).toBe(204);
  expect((await shop.client.get(path)).body.rating).toEqual({ average: 5, count: 1 });
});

test('a review changes the ETag of the product', async () => {
  const path = await addProduct();
  const { headers } = await shop.client.get(path);
  await reviewBy(path, 1);
  const ifMatch = { headers: { 'if-match': headers.get('etag') ?? '' } };
  expect((await admin.client.patch(path, { price_cents: 2 }, ifMatch)).status).toBe(412);
});

test('the list shows the newest first, with who wrote it', async () => {
  const path = await addProduct();
  const first = await reviewBy(path, 3, 'Ada');
  const second = await reviewBy(path, 4, 'Grace');
  const { body } = await shop.client.get<{ items: ReviewView[] }>(`${path}/reviews`);
  expect(body.items).toEqual([second.review, first.review]);
  expect(body.items.map((item) => item.author)).toEqual([
    { id: second.account.id, display_name: 'Grace' },
    { id: first.account.id, display_name: 'Ada' },
  ]);
});

test('a customer reviews a product once, and may again after deleting', async () => {
  const path = await addProduct();
  const { account, review: own } = await reviewBy(path, 3);
  expect((await account.client.post(`${path}/reviews`, review(4))).status).toBe(409);
  await account.client.delete(`${path}/reviews/${own.id}`);
  expect((await account.client.post(`${path}/reviews`, review(4))).status).toBe(201);
  expect((await shop.client.get(path)).body.rating).toEqual({ average: 4, count: 1 });
});

test('one customer posting the same review many times at once has one', async () => {
  const path = await addProduct();
  const { client } = await shop.account('customer');
  const answers = await Promise.all(Array.from({ length: 6 }, () => client.post(`${path}/reviews`, review(5))));
  expect(answers.map((answer) => answer.status).sort()).toEqual([201, 409, 409, 409, 409, 409]);
  expect((await shop.client.get(path)).body.rating).toEqual({ average: 5, count: 1 });
});

test('many customers reviewing at once are all counted', async () => {
  const path = await addProduct();
  await Promise.all(Array.from({ length: 12 }, (_, at) => reviewBy(path, (at % 5) + 1)));
  const { body } = await shop.client.get(path);
  expect(body.rating).toEqual({ average: 2.75, count: 12 });
});

test('a review is deleted by its author or an admin, and by nobody else', async () => {
  const path = await addProduct();
  const { review: one } = await reviewBy(path, 3);
  const stranger = await shop.account('customer');
  expect((await stranger.client.delete(`${path}/reviews/${one.id}`)).status).toBe(403);
  expect((await shop.client.delete(`${path}/reviews/${one.id}`)).status).toBe(401);
  expect((await admin.client.delete(`${path}/reviews/${one.id}`)).status).toBe(204);
  expect((await admin.client.delete(`${path}/reviews/${one.id}`)).status).toBe(404);
});

test('a token whose account is not there is not enough', async () => {
  const path = await addProduct();
  const { token } = await shop.deps.accessTokens.issue({ accountId: 999_999, role: 'customer', sessionId: undefined });
  expect((await shop.client.as(token).post(`${path}/reviews`, review(1))).status).toBe(401);
  expect((await shop.client.get(path)).body.rating.count).toBe(0);
});

test('a review belongs to its product', async () => {
  const path = await addProduct();
  const other = await addProduct();
  const { review: one, account } = await reviewBy(path, 3);
  expect((await account.client.delete(`${other}/reviews/${one.id}`)).status).toBe(404);
});

test('a review that is not valid, of no product, or by an admin is refused', async () => {
  const path = await addProduct();
  const { client } = await shop.account('customer');
  for (const rating of [0, 6, 4.5, '5']) {
    expect((await client.post(`${path}/reviews`, { ...review(1), rating })).status).toBe(400);
  }
  expect((await client.post('/api/products/999999/reviews', review(1))).status).toBe(404);
  expect((await shop.client.get('/api/products/999999/reviews')).status).toBe(404);
  expect((await admin.client.post(`${path}/reviews`, review(1))).status).toBe(403);
});

test('pages show every review once, also when several were written in the same millisecond', async () => {
  const path = await addProduct();
  const { review: one } = await reviewBy(path, 1);
  for (let at = 0; at < 8; at++) await reviewBy(path, 2);
  await shop.database.sequelize.query('UPDATE reviews SET created_at = ? WHERE product_id = ?', {
    replacements: [new Date(one.created_at), one.product_id],
  });
  const seen: number[] = [];
  for (let cursor = ''; ; ) {
    const { body } = await shop.client.get(`${path}/reviews?limit=2${cursor}`);
    seen.push(...body.items.map((item: ReviewView) => item.id));
    if (body.next_cursor === null) break;
    cursor = `&cursor=${body.next_cursor}`;
  }
  expect(seen).toHaveLength(9);
  expect(seen).toEqual(seen.toSorted((a, b) => b - a));
  const other = await addProduct();
  const { body } = await shop.client.get(`${path}/reviews?limit=2`);
  expect((await shop.client.get(`${other}/reviews?cursor=${body.next_cursor}`)).status).toBe(400);
});

test('a page takes two statements, however many reviews it has', async () => {
  const path = await addProduct();
  const count = async () =>
    (await countStatements(shop.database.sequelize, () => shop.client.get(`${path}/reviews`))).statements.length;
  expect(await count()).toBe(2);
  for (let at = 0; at < 5; at++) await reviewBy(path, 2);
  expect(await count()).toBe(2);
});
