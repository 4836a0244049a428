import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startTestInventory, type TestInventory } from '../testing/inventory.ts';

let inventory: TestInventory;
let admin: string;
let customer: string;

beforeAll(async () => {
  inventory = await startTestInventory('stock');
  [admin, customer] = await Promise.all([inventory.issuer.token(7, 'admin'), inventory.issuer.token(8, 'customer')]);
});
afterAll(() => inventory?.stop());

const get = (productId: number | string, headers: Record<string, string> = {}) =>
  inventory.send('GET', `/api/inventory/${productId}`, { headers });
const etagOf = async (productId: number) => (await get(productId)).headers.get('etag') ?? '';
const adjust = (productId: number, delta: unknown, headers: Record<string, string> = {}) =>
  inventory.send('POST', `/api/inventory/${productId}/adjustments`, {
    token: admin,
    headers,
    body: { delta, reason: 'stocktaking' },
  });

describe('stock over HTTP', () => {
  test('of a product that never had any is none, and gets its row with the first adjustment', async () => {
    const productId = await inventory.product();
    const before = await get(productId);
    expect(before.text).toBe(`{"product_id":${productId},"available":0,"version":0,"updated_at":null}`);
    expect(before.headers.get('etag')).toMatch(/^"0-[0-9a-f]{32}"$/);
    expect(before.headers.get('cache-control')).toBe('no-cache');
    const answer = await adjust(productId, 7);
    expect(answer.status).toBe(201);
    expect(answer.body.stock).toEqual({
      product_id: productId,
      available: 7,
      version: 2,
      updated_at: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/),
    });
    expect(answer.body.adjustment).toEqual({
      id: expect.any(Number),
      product_id: productId,
      delta: 7,
      reason: 'stocktaking',
      account_id: 7,
      order_id: null,
      created_at: answer.body.stock.updated_at,
    });
    const after = await get(productId);
    expect(after.body).toEqual(answer.body.stock);
    expect(after.headers.get('etag')).toBe(answer.headers.get('etag'));
  });

  test('a first adjustment that is refused makes the row all the same, as in the shop', async () => {
    const productId = await inventory.product();
    const never = await etagOf(productId);
    expect((await adjust(productId, -1)).body).toMatchObject({ status: 409, available: 0, product_id: productId });
    expect((await get(productId)).body).toMatchObject({ available: 0, version: 1 });
    const other = await inventory.product();
    expect((await adjust(other, 1, { 'if-match': never })).status).toBe(412);
  });

  test('counts ten first adjustments at once', async () => {
    const productId = await inventory.product();
    const answers = await Promise.all(Array.from({ length: 10 }, () => adjust(productId, 3)));
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(201));
    expect(await inventory.available(productId)).toBe(30);
  });

  test('never goes below zero, nor beyond all bounds; the refusal says what is left', async () => {
    const productId = await inventory.product(5);
    const answer = await adjust(productId, -6);
    expect(answer).toMatchObject({
      status: 409,
      body: {
        title: 'Not enough stock',
        detail: `Product ${productId} has 5 left; 6 cannot be taken away.`,
        product_id: productId,
        available: 5,
      },
    });
    expect((await adjust(productId, -5)).status).toBe(201);
    expect(await inventory.available(productId)).toBe(0);
    const full = await inventory.product(999_999_999);
    expect((await adjust(full, 2)).body).toMatchObject({
      status: 409,
      detail: 'The stock of a product may not go above 1000000000.',
    });
    expect((await adjust(full, 1)).status).toBe(201);
  });

  test('is not negative in the database either', async () => {
    const productId = await inventory.product(1);
    const negative = inventory.db.query('UPDATE stock_levels SET available = -1 WHERE product_id = ?', [productId]);
    await expect(negative).rejects.toThrow(/stock_levels_not_negative/);
  });

  test('with If-Match is changed only where it is the stock that was seen', async () => {
    const productId = await inventory.product(5);
    const etag = await etagOf(productId);
    const answers = await Promise.all([1, 2, 3].map((delta) => adjust(productId, delta, { 'if-match': etag })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 412, 412]);
    const lost = answers.find(({ status }) => status === 412);
    expect(lost?.body.detail).toBe(`The stock of product ${productId} has changed since it was read.`);
    const won = answers.find(({ status }) => status === 201);
    expect((await adjust(productId, 1, { 'if-match': won?.headers.get('etag') ?? '' })).status).toBe(201);
    expect((await adjust(productId, 1, { 'if-match': '*' })).status).toBe(201);
    expect((await adjust(productId, 1, { 'if-match': `W/${await etagOf(productId)}` })).status).toBe(412);
  });

  test('that the client has already is answered 304', async () => {
    const productId = await inventory.product(1);
    const again = await get(productId, { 'if-none-match': await etagOf(productId) });
    expect({ status: again.status, text: again.text }).toEqual({ status: 304, text: '' });
    await adjust(productId, 1);
    expect((await get(productId, { 'if-none-match': again.headers.get('etag') ?? '' })).status).toBe(200);
  });

  test('lists its changes newest first, page by page', async () => {
    const [productId, other] = [await inventory.product(), await inventory.product()];
    for (const delta of [1, 2, 3, 4, 5]) await adjust(productId, delta);
    const path = (id: number, query: string) => `/api/inventory/${id}/adjustments${query}`;
    const deltas: number[] = [];
    let [cursor, first] = ['', ''];
    do {
      const page = await inventory.send('GET', path(productId, `?limit=2${cursor}`), { token: admin });
      deltas.push(...page.body.items.map(({ delta }: { delta: number }) => delta));
      cursor = page.body.next_cursor === null ? '' : `&cursor=${page.body.next_cursor}`;
      first ||= cursor;
    } while (cursor !== '');
    expect(deltas).toEqual([5, 4, 3, 2, 1]);
    const elsewhere = await inventory.send('GET', path(other, `?limit=2${first}`), { token: admin });
    expect(elsewhere).toMatchObject({ status: 400, body: { errors: [{ in: 'query', path: 'cursor' }] } });
    expect((await inventory.send('GET', path(productId, '?limit=0'), { token: admin })).status).toBe(400);
    expect((await inventory.send('GET', path(productId, '?more=1'), { token: admin })).status).toBe(400);
  });

  test('is adjusted, and its adjustments are seen, by administrators alone', async () => {
    const path = `/api/inventory/${await inventory.product(1)}/adjustments`;
    const body = { delta: 1, reason: 'x' };
    for (const method of ['GET', 'POST']) {
      const sent = method === 'GET' ? {} : { body };
      expect((await inventory.send(method, path, sent)).status).toBe(401);
      expect((await inventory.send(method, path, { ...sent, token: customer })).status).toBe(403);
      expect((await inventory.send(method, path, { ...sent, token: `${admin}x` })).status).toBe(401);
    }
  });

  test('is not changed by what is not valid, and the answer names everything', async () => {
    const productId = await inventory.product(1);
    const path = `/api/inventory/${productId}/adjustments`;
    const answer = await inventory.send('POST', path, { token: admin, body: { delta: 0, reason: ' ', more: 1 } });
    expect(answer.status).toBe(400);
    expect(answer.body.errors).toEqual([
      { in: 'body', path: 'delta', message: 'expected a whole number other than 0' },
      { in: 'body', path: 'more', message: 'is not known' },
      { in: 'body', path: 'reason', message: 'must be at least 1 character long' },
    ]);
    expect((await adjust(productId, 1.5)).status).toBe(400);
    expect((await adjust(productId, 1_000_001)).status).toBe(400);
    expect((await get('nothing')).status).toBe(400);
    expect((await inventory.send('POST', path, { token: admin, body: '{' })).status).toBe(400);
    const text = { token: admin, body: 'x', headers: { 'content-type': 'text/plain' } };
    expect((await inventory.send('POST', path, text)).status).toBe(415);
    expect((await adjust(productId, 1_000_000)).status).toBe(201);
  });

  test('there is none of a product that does not exist, or is archived', async () => {
    const archived = await inventory.product(3);
    await inventory.db.query('UPDATE products SET archived_at = ? WHERE id = ?', [new Date(), archived]);
    for (const productId of [999_999, archived]) {
      const answer = await get(productId);
      expect(answer).toMatchObject({ status: 404, body: { detail: `There is no product ${productId}.` } });
      expect((await adjust(productId, 1)).status).toBe(404);
      const list = await inventory.send('GET', `/api/inventory/${productId}/adjustments`, { token: admin });
      expect(list.status).toBe(404);
    }
  });
});
