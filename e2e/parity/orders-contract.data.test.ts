import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TestAccount } from '@strangler/monolith/testing/shop.ts';
import { openApiDocument } from '@strangler/orders/openapi.ts';
import { type SendOptions, sender, type TestAnswer } from '@strangler/payments/testing/payments.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { type OrderSides, startOrderSides } from '../seams/order-sides.fixture.ts';

let sides: OrderSides;
/** The shop and the orders. */
let urls: readonly [string, string];
let admin: TestAccount;

beforeAll(async () => {
  sides = await startOrderSides('contract');
  const orders = await sides.start();
  urls = [sides.shop.url, orders.server.url];
  admin = await sides.shop.account('admin');
});
afterAll(() => sides?.stop());

/** Two customers whom nothing but their ids tells apart. */
const twins = () => Promise.all([sides.customer('A twin'), sides.customer('A twin')]);

/** What a client sees, but for ids that each side allots, addresses of twins, and times. */
function plain({ status, headers, text }: TestAnswer) {
  const body = text
    .replace(/customer-[0-9a-f]{12}@shop\.example/g, '<email>')
    .replace(/"(created_at|updated_at)":"[^"]+"/g, '"$1":"<time>"')
    .replace(/"customer":\{"id":\d+/g, '"customer":{"id":<id>')
    .replace(/"(order_id|id)":\d+(?=,"(status|order_id)")/g, '"$1":<id>')
    .replace(/"order_id":\d+/g, '"order_id":<id>')
    .replace(/\border \d+/gi, 'order <id>');
  const of = (name: string) => headers.get(name)?.replace(/\d+/g, '<n>') ?? null;
  return {
    ...{
      status,
      body,
      type: headers.get('content-type'),
      location: of('location'),
      replayed: of('idempotency-replayed'),
    },
    ...{ challenge: of('www-authenticate'), isRetried: headers.has('retry-after') },
  };
}

/** The same on both sides, each for its twin. */
async function both(work: (url: string, side: 0 | 1) => Promise<TestAnswer>): Promise<ReturnType<typeof plain>> {
  const [there, here] = [plain(await work(urls[0], 0)), plain(await work(urls[1], 1))];
  expect(here).toEqual(there);
  return there;
}
const ask = (method: string, path: string | ((side: 0 | 1) => string), options: (side: 0 | 1) => SendOptions) =>
  both((url, side) => sender(url)(method, typeof path === 'string' ? path : path(side), options(side)));

describe('shop and service answer alike', () => {
  test('a checkout, its repetition, the order and its cancellation', async () => {
    const pair = await twins();
    const [a, b] = [await sides.product({ priceCents: 300 }), await sides.product({ priceCents: 50 })];
    for (const twin of pair) await sides.commerce.fill(twin, { [a]: 2, [b]: 3 });
    const key = randomUUID();
    const ids: number[] = [];
    const sell = () =>
      both(async (url, side) => {
        const answer = await sides.checkOut(url, pair[side], { key, expectedTotalCents: 750 });
        ids[side] = answer.body.order.id;
        return answer;
      });
    expect(await sell()).toMatchObject({ status: 201, location: '/api/orders/<n>', replayed: null });
    expect(await sell()).toMatchObject({ status: 201, replayed: 'true' });
    const own = (side: 0 | 1) => ({ token: pair[side].token });
    const path = (side: 0 | 1) => `/api/orders/${ids[side]}`;
    expect(JSON.parse((await ask('GET', path, own)).body.replaceAll('<id>', '0'))).toMatchObject({
      status: 'paid',
      version: 2,
    });
    expect((await ask('GET', '/api/orders', own)).status).toBe(200);
    expect((await ask('GET', path, () => ({ token: admin.token }))).status).toBe(200);
    expect((await ask('GET', path, (side) => ({ token: pair[side === 0 ? 1 : 0].token }))).status).toBe(404);
    // Whose money goes back how fast is each side's own: the shop pays back behind the answer.
    const cancelled = await Promise.all(
      urls.map((url, side) => sender(url)('POST', `/api/orders/${ids[side]}/cancel`, own(side as 0 | 1))),
    );
    for (const answer of cancelled)
      expect(answer.body).toMatchObject({ status: 'cancelled', cancel_reason: 'customer', version: 3 });
    await eventually(() => ask('POST', (side) => `${path(side)}/cancel`, own));
    expect(
      (
        await ask(
          'POST',
          (side) => `${path(side)}/ship`,
          () => ({ token: admin.token }),
        )
      ).status,
    ).toBe(409);
    expect([await sides.commerce.available(a), await sides.inventory.available(a)]).toEqual([10, 10]);
    expect((await pair[1].client.get('/api/cart')).body.items).toEqual([]);
  });

  test('an order that was shipped cannot be cancelled; only a paid one is shipped, and by administrators', async () => {
    const pair = await twins();
    const product = await sides.product();
    const ids: number[] = [];
    for (const side of [0, 1] as const) {
      await sides.commerce.fill(pair[side], { [product]: 1 });
      ids[side] = (await sides.checkOut(urls[side], pair[side])).body.order.id;
    }
    const path = (what: string) => (side: 0 | 1) => `/api/orders/${ids[side]}/${what}`;
    const own = (side: 0 | 1) => ({ token: pair[side].token });
    const theirs = () => ({ token: admin.token });
    expect((await ask('POST', path('ship'), own)).status).toBe(403);
    expect((await ask('POST', path('ship'), theirs)).status).toBe(200);
    expect((await ask('POST', path('ship'), theirs)).status).toBe(200);
    expect((await ask('POST', path('cancel'), own)).status).toBe(409);
  });

  test.each(['tok_decline', 'tok_insufficient_funds'])('a payment that is declined: %s', async (cardToken) => {
    const pair = await twins();
    const product = await sides.product();
    for (const twin of pair) await sides.commerce.fill(twin, { [product]: 4 });
    const key = randomUUID();
    const sell = () => both((url, side) => sides.checkOut(url, pair[side], { cardToken, key }));
    expect(await sell()).toMatchObject({ status: 402, replayed: null });
    expect(await sell()).toMatchObject({ status: 402, replayed: 'true' });
    expect([await sides.commerce.available(product), await sides.inventory.available(product)]).toEqual([10, 10]);
  });

  test('a payment whose outcome is not known', async () => {
    const pair = await twins();
    const product = await sides.product();
    for (const twin of pair) await sides.commerce.fill(twin, { [product]: 1 });
    const told = await both((url, side) => sides.checkOut(url, pair[side], { cardToken: 'tok_timeout' }));
    expect(told.status).toBe(201);
    expect(told.body).toContain('"status":"pending"');
  });

  test('carts that cannot be sold as they are', async () => {
    const pair = await twins();
    const refused = async (request: Parameters<OrderSides['checkOut']>[2] = {}) =>
      JSON.parse((await both((url, side) => sides.checkOut(url, pair[side], request))).body).title;
    const fill = async (cart: Record<number, number>) => {
      for (const twin of pair) {
        await twin.client.delete('/api/cart');
        await sides.commerce.fill(twin, cart);
      }
    };
    expect(await refused()).toBe('Cart is empty');
    const [euro, dollar, scarce] = [
      await sides.product(),
      await sides.product({ currency: 'USD' }),
      await sides.product({ stock: 2 }),
    ];
    await fill({ [euro]: 1, [dollar]: 1 });
    expect(await refused()).toBe('Several currencies');
    await fill({ [euro]: 1 });
    expect(await refused({ expectedTotalCents: 1 })).toBe('Total has changed');
    await fill({ [euro]: 1, [scarce]: 3 });
    expect(await refused()).toBe('Not enough stock');
    await sides.shop.deps.models.Product.update({ active: false }, { where: { id: scarce } });
    expect(await refused()).toBe('Product withdrawn');
    for (const twin of pair) expect((await twin.client.get('/api/cart')).body.items).toHaveLength(2);
    expect((await ask('GET', '/api/orders', (side) => ({ token: pair[side].token }))).body).toBe(
      '{"items":[],"next_cursor":null}',
    );
  });

  test('what is not valid, and who may not', async () => {
    const pair = await twins();
    const own = (side: 0 | 1) => ({ token: pair[side].token });
    const seen = [];
    for (const [path, options] of [
      ['/api/orders?limit=0', own],
      ['/api/orders?status=lost', own],
      ['/api/orders?cursor=x', own],
      ['/api/orders?more=1', own],
      ['/api/orders?account_id=999999', own],
      ['/api/orders/0', own],
      ['/api/orders/x', own],
      ['/api/orders/999999', own],
      ['/api/orders', () => ({})],
      ['/api/orders', () => ({ token: 'x.y.z' })],
    ] as const) {
      seen.push((await ask('GET', path, options)).status);
    }
    expect(seen).toEqual([400, 400, 400, 400, 403, 400, 400, 404, 401, 401]);
    const good = { card_token: 'tok_visa' };
    const key = { 'idempotency-key': 'k' };
    const posted = [];
    for (const [body, headers] of [
      [good, {} as Record<string, string>],
      [good, { 'idempotency-key': 'two words' }],
      [{}, key],
      [{ card_token: '4242424242424242' }, key],
      [{ ...good, more: 1 }, key],
      ['{', key],
      ['x', { ...key, 'content-type': 'text/plain' }],
      [`"${'x'.repeat(102_400)}"`, key],
    ] as const) {
      posted.push((await ask('POST', '/api/checkout', (side) => ({ ...own(side), headers, body }))).status);
    }
    expect(posted).toEqual([400, 400, 400, 400, 400, 400, 415, 413]);
  });

  test('a key under which something else was asked, and pages of a list', async () => {
    const pair = await twins();
    const product = await sides.product({ stock: 40 });
    const key = randomUUID();
    for (let n = 0; n < 3; n += 1) {
      for (const side of [0, 1] as const) {
        await sides.commerce.fill(pair[side], { [product]: 1 + n });
        expect((await sides.checkOut(urls[side], pair[side], n === 0 ? { key } : {})).status).toBe(201);
      }
    }
    expect((await both((url, side) => sides.checkOut(url, pair[side], { key, cardToken: 'tok_other' }))).status).toBe(
      422,
    );
    const cursors: (string | null)[] = [null, null];
    for (let page = 0; page < 2; page += 1) {
      const seen = [];
      for (const side of [0, 1] as const) {
        const cursor = cursors[side] === null ? '' : `&cursor=${cursors[side]}`;
        const { body } = await sender(urls[side])('GET', `/api/orders?limit=2&status=paid${cursor}`, {
          token: pair[side].token,
        });
        cursors[side] = body.next_cursor;
        seen.push(body.items.map((order: { total_cents: number }) => order.total_cents));
      }
      expect(seen[1]).toEqual(seen[0]);
      expect(seen[0]).toEqual([[3_000, 2_000], [1_000]][page]);
    }
    expect(cursors).toEqual([null, null]);
  });
});

describe('what a client may prefer', () => {
  test('not to wait: 202 with the address of the checkout, which says how it went', async () => {
    const buyer = await sides.customer();
    await sides.commerce.fill(buyer, { [await sides.product()]: 1 });
    const key = randomUUID();
    const answer = await sides.checkOut(urls[1], buyer, { key, prefer: 'respond-async' });
    expect([answer.status, answer.headers.get('preference-applied')]).toEqual([202, 'respond-async']);
    const location = answer.headers.get('location') ?? '';
    expect(location).toMatch(/^\/api\/checkouts\/sale-/);
    const told = await eventually(async () => {
      const { body } = await sender(urls[1])('GET', location, { token: buyer.token });
      expect(body.status).toBe('decided');
      return body;
    });
    expect(told).toMatchObject({
      answer: { status: 201, body: { order: { status: 'paid' }, payment: { status: 'settled' } } },
    });
    expect((await sides.checkOut(urls[1], buyer, { key })).status).toBe(202);
    const stranger = await sides.customer();
    expect((await sender(urls[1])('GET', location, { token: stranger.token })).status).toBe(404);
  });

  test('ten requests with one cart under ten keys sell it once, and ten under one key too', async () => {
    const product = await sides.product({ stock: 30 });
    const buyer = await sides.customer();
    await sides.commerce.fill(buyer, { [product]: 2 });
    const answers = await Promise.all(Array.from({ length: 10 }, () => sides.checkOut(urls[1], buyer)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(9).fill(409)]);
    await sides.commerce.fill(buyer, { [product]: 3 });
    const key = randomUUID();
    const again = await Promise.all(Array.from({ length: 10 }, () => sides.checkOut(urls[1], buyer, { key })));
    for (const { status, headers } of again) {
      if (status === 409) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      else expect(status).toBe(201);
    }
    await eventually(async () => expect(await sides.inventory.available(product)).toBe(25));
    expect((await sender(urls[1])('GET', '/api/orders', { token: buyer.token })).body.items).toHaveLength(2);
  });
});

test('what is told is described to the letter as in the shop', () => {
  const schemaOf = (folder: string, type: string) =>
    JSON.parse(readFileSync(new URL(`../../${folder}/events/schemas/${type}.v1.json`, import.meta.url), 'utf8'));
  for (const type of ['order.placed', 'order.shipped', 'order.cancelled']) {
    expect(schemaOf('extracted/orders', type)).toEqual(schemaOf('monolith', type));
  }
});

test('the document describes what the shop describes, and more', () => {
  const { paths = {} } = openApiDocument();
  for (const path of [
    '/api/checkout',
    '/api/orders',
    '/api/orders/{id}',
    '/api/orders/{id}/cancel',
    '/api/orders/{id}/ship',
  ]) {
    expect(paths[path]).toBeDefined();
  }
});
