import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { inventoryProtoPath } from '@strangler/inventory/grpc/server.ts';
import { installFence, setFence } from '@strangler/inventory/testing/fence.ts';
import type { TestAccount } from '@strangler/monolith/testing/shop.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { Op } from 'sequelize';
import { type StockSides, startStockSides } from './stock.fixture.ts';

let sides: StockSides;
beforeAll(async () => {
  sides = await startStockSides('stock');
  // As a cut-over does: no number of one side is ever one of the other.
  await sides.service.query('ALTER TABLE stock_adjustments AUTO_INCREMENT = 1000000');
});
afterAll(() => sides?.stop());
afterEach(() => sides.provider.control({}));

async function buyerOf(quantities: Record<number, number>): Promise<TestAccount> {
  const buyer = await sides.shop.account('customer');
  await sides.commerce.fill(buyer, quantities);
  return buyer;
}
const openErrands = () => sides.shop.deps.models.StockErrand.count({ where: { done_at: null } });
const nothingOpen = () => eventually(async () => expect(await openErrands()).toBe(0));

test('the shop has the service’s proto, to the letter', () => {
  const own = new URL('../../monolith/modules/inventory/owner/inventory.proto', import.meta.url);
  expect(readFileSync(own, 'utf8')).toBe(readFileSync(inventoryProtoPath, 'utf8'));
});

describe('while the stock is the shop’s', () => {
  test('it is taken in the sale’s own transaction, and what is given back comes after the cancelling', async () => {
    const productId = await sides.product(5);
    const buyer = await buyerOf({ [productId]: 2 });
    const { status, body } = await sides.commerce.checkOut(buyer);
    expect(status).toBe(201);
    expect(await sides.commerce.available(productId)).toBe(3);
    expect(await sides.availableAtService(productId)).toBe(5);
    expect((await buyer.client.post(`/api/orders/${body.order.id}/cancel`)).status).toBe(200);
    await nothingOpen();
    expect(await sides.commerce.available(productId)).toBe(5);
    await sides.commerce.balance(productId);
  });
});

describe('once the stock is the service’s', () => {
  beforeAll(() => sides.own('service'));

  test('a sale reserves it and confirms it: the order is paid, and the shop’s own level is not touched', async () => {
    const productId = await sides.product(5);
    const { status, body } = await sides.commerce.checkOut(await buyerOf({ [productId]: 2 }));
    expect(status).toBe(201);
    expect(await sides.availableAtService(productId)).toBe(3);
    expect(await sides.commerce.available(productId)).toBe(5);
    expect(await sides.stateOf(body.order.id)).toBe('confirmed');
    await nothingOpen();
  });

  test('what is short is refused as before: nothing is sold, nothing is held', async () => {
    const [few, plenty] = [await sides.product(1), await sides.product(9)];
    const buyer = await buyerOf({ [few]: 2, [plenty]: 1 });
    const answer = await sides.commerce.checkOut(buyer);
    expect(answer).toMatchObject({
      status: 409,
      body: { title: 'Not enough stock', shortages: [{ product_id: few, wanted: 2, available: 1 }] },
    });
    expect([await sides.availableAtService(few), await sides.availableAtService(plenty)]).toEqual([1, 9]);
    expect(await sides.shop.deps.models.Order.count({ where: { account_id: buyer.id } })).toBe(0);
  });

  test('a declined card, and a customer who cancels, give it back', async () => {
    const productId = await sides.product(5);
    const declined = await sides.commerce.checkOut(await buyerOf({ [productId]: 2 }), { cardToken: 'tok_decline' });
    expect(declined.status).toBe(402);
    await nothingOpen();
    expect(await sides.availableAtService(productId)).toBe(5);
    const buyer = await buyerOf({ [productId]: 3 });
    const { body } = await sides.commerce.checkOut(buyer);
    expect(await sides.availableAtService(productId)).toBe(2);
    await buyer.client.post(`/api/orders/${body.order.id}/cancel`);
    await nothingOpen();
    expect(await sides.availableAtService(productId)).toBe(5);
    expect(await sides.stateOf(body.order.id)).toBe('returned');
  });

  test('of many who want the last ones, as many get one as there are', async () => {
    const productId = await sides.product(4);
    const buyers = await Promise.all(Array.from({ length: 12 }, () => buyerOf({ [productId]: 1 })));
    const answers = await Promise.all(buyers.map((buyer) => sides.commerce.checkOut(buyer)));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(4).fill(201), ...Array(8).fill(409)]);
    expect(await sides.availableAtService(productId)).toBe(0);
  });

  test('an order that was sold by the shop gives it back to the service', async () => {
    await sides.own('monolith');
    const productId = await sides.product(5);
    const buyer = await buyerOf({ [productId]: 2 });
    const { body } = await sides.commerce.checkOut(buyer);
    // As the pipe does it.
    await sides.service.query('UPDATE stock_levels SET available = 3, version = 2 WHERE product_id = ?', [productId]);
    await sides.own('service');
    await buyer.client.post(`/api/orders/${body.order.id}/cancel`);
    await nothingOpen();
    expect(await sides.availableAtService(productId)).toBe(5);
  });

  test('and cannot be reached, nothing is sold; what was to be given back is, when it can be', async () => {
    const productId = await sides.product(5);
    const cancelling = await buyerOf({ [productId]: 1 });
    const { body } = await sides.commerce.checkOut(cancelling);
    const buyer = await buyerOf({ [productId]: 1 });
    await sides.line.refuse();
    // Not through the contract's client: like every operation this one may answer 503, which the document says in its preface.
    const refused = await fetch(`${sides.shop.url}/api/checkout`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${buyer.token}`,
        'content-type': 'application/json',
        'idempotency-key': 'away',
      },
      body: JSON.stringify({ card_token: 'tok_visa' }),
    });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    expect((await cancelling.client.post(`/api/orders/${body.order.id}/cancel`)).status).toBe(200);
    // What was to be reserved may have been, as far as the shop knows; and what was sold is to be put back.
    await eventually(async () => expect(await openErrands()).toBe(2));
    await sides.line.pass();
    await nothingOpen();
    expect(await sides.availableAtService(productId)).toBe(5);
    expect((await sides.commerce.checkOut(buyer)).status).toBe(201);
  });

  test('an order whose reservation had expired before it was confirmed is given other stock, if there is some', async () => {
    const productId = await sides.product(2);
    const { body } = await sides.commerce.checkOut(await buyerOf({ [productId]: 2 }));
    // As if the confirmation had never come, and the time was over.
    const sql = "UPDATE reservations SET state = 'held', order_id = NULL, expires_at = '2020-01-01' WHERE order_id = ?";
    await sides.service.query(sql, [body.order.id]);
    const { StockErrand } = sides.shop.deps.models;
    await StockErrand.update({ done_at: null }, { where: { order_id: body.order.id } });
    await nothingOpen();
    expect(await sides.stateOf(body.order.id)).toBe('confirmed');
    const errand = await StockErrand.findOne({ where: { order_id: body.order.id } });
    expect(errand?.reservation_id).toMatch(/\.again-1$/);
    expect(await sides.availableAtService(productId)).toBe(0);
  });
});

test('a sale that meets the shop’s closed fence waits for the flip, and is made at the service, once', async () => {
  await sides.own('monolith');
  await installFence(sides.monolith);
  const productId = await sides.product(5);
  const buyer = await buyerOf({ [productId]: 2 });
  await setFence(sides.monolith, 'closed');
  let answered = false;
  const selling = sides.commerce.checkOut(buyer).finally(() => {
    answered = true;
  });
  await sides.shop.client.get('/health/ready');
  expect(answered).toBe(false);
  await sides.own('service');
  const { status, body } = await selling;
  expect(status).toBe(201);
  expect(await sides.stateOf(body.order.id)).toBe('confirmed');
  expect([await sides.availableAtService(productId), await sides.commerce.available(productId)]).toEqual([3, 5]);
  const admin = await sides.shop.account('admin');
  await sides.own('monolith');
  const stray = admin.client.post(`/api/inventory/${productId}/adjustments`, { delta: 1, reason: 'r' });
  await setFence(sides.monolith, 'open');
  expect((await stray).status).toBe(201);
});

test('what the service was asked to put back is put back once, wherever the ownership has gone since', async () => {
  await installFence(sides.service);
  await sides.own('service');
  const { StockErrand } = sides.shop.deps.models;
  const [doneThere, notDone] = [await sides.product(5), await sides.product(5)];
  const orders: number[] = [];
  for (const productId of [doneThere, notDone]) {
    const buyer = await buyerOf({ [productId]: 2 });
    orders.push((await sides.commerce.checkOut(buyer)).body.order.id);
    if (productId === notDone) await setFence(sides.service, 'closed');
    await buyer.client.post(`/api/orders/${orders.at(-1)}/cancel`);
    if (productId === doneThere) await nothingOpen();
  }
  await eventually(async () =>
    expect(await StockErrand.count({ where: { sent_at: { [Op.ne]: null }, done_at: null } })).toBe(1),
  );
  // As if the shop had died before it could note what the service has done.
  await StockErrand.update({ done_at: null }, { where: { order_id: orders[0] ?? 0, kind: 'give_back' } });
  await sides.own('monolith');
  // What the pipe has brought back, of what the service had done.
  const piped = 'UPDATE stock_levels SET available = ?, version = version + 1 WHERE product_id = ?';
  await sides.monolith.query(piped, [5, doneThere]);
  await sides.monolith.query(piped, [3, notDone]);
  await nothingOpen();
  expect([await sides.commerce.available(doneThere), await sides.commerce.available(notDone)]).toEqual([5, 5]);
});
