import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Commerce, commerceOf } from '../../testing/commerce.ts';
import { startTestShop, type TestAccount, type TestShop } from '../../testing/shop.ts';

let shop: TestShop;
let commerce: Commerce;
let admin: TestAccount;

beforeAll(async () => {
  shop = await startTestShop('cart_sales');
  commerce = await commerceOf(shop);
  admin = await shop.account('admin');
});
afterAll(() => shop?.stop());

const versionOf = async (of: TestAccount) => (await of.client.get(`/internal/carts/${of.id}`)).body.version as string;
const take = async (of: TestAccount, version: string, saleId = randomUUID()) =>
  (await admin.client.put(`/internal/carts/${of.id}/sales/${saleId}`, { version })).status;
const giveBack = async (of: TestAccount, saleId: string) =>
  (await admin.client.delete(`/internal/carts/${of.id}/sales/${saleId}`)).status;
const inCart = async (of: TestAccount) =>
  (await of.client.get('/api/cart')).body.items.map((item: { product_id: number; quantity: number }) => [
    item.product_id,
    item.quantity,
  ]);

test('of ten sales of one cart one takes it, however often each asks', async () => {
  const buyer = await shop.account('customer');
  await commerce.fill(buyer, { [await commerce.product()]: 2 });
  const version = await versionOf(buyer);
  const sales = Array.from({ length: 10 }, () => randomUUID());
  const ask = () => Promise.all(sales.map((id) => take(buyer, version, id)));
  const first = await ask();
  expect(first.toSorted()).toEqual([204, ...Array(9).fill(409)]);
  expect(await ask()).toEqual(first);
  expect(await inCart(buyer)).toEqual([]);
});

test('a cart that was changed, or filled again with the same, is not taken under its old version', async () => {
  const [a, b] = [await commerce.product(), await commerce.product()];
  const buyer = await shop.account('customer');
  await commerce.fill(buyer, { [a]: 1 });
  const old = await versionOf(buyer);
  await commerce.fill(buyer, { [b]: 1 });
  expect(await take(buyer, old)).toBe(409);
  await buyer.client.delete('/api/cart');
  await commerce.fill(buyer, { [a]: 1 });
  expect(await take(buyer, old)).toBe(409);
  expect(await inCart(buyer)).toEqual([[a, 1]]);
});

test('what is given back is in the cart again, beside what was put in since, and once', async () => {
  const [a, b] = [await commerce.product(), await commerce.product()];
  const buyer = await shop.account('customer');
  await commerce.fill(buyer, { [a]: 2, [b]: 1 });
  const saleId = randomUUID();
  const version = await versionOf(buyer);
  expect(await take(buyer, version, saleId)).toBe(204);
  await commerce.fill(buyer, { [b]: 5 });
  expect([await giveBack(buyer, saleId), await giveBack(buyer, saleId)]).toEqual([204, 204]);
  expect(await inCart(buyer)).toEqual([
    [a, 2],
    [b, 5],
  ]);
  await buyer.client.delete('/api/cart');
  await giveBack(buyer, saleId);
  expect(await inCart(buyer)).toEqual([]);
  // One that was given up before it took anything takes nothing when it comes late.
  await commerce.fill(buyer, { [a]: 1 });
  const late = randomUUID();
  await giveBack(buyer, late);
  expect(await take(buyer, await versionOf(buyer), late)).toBe(409);
});

test('a cart is for its customer and for administrators', async () => {
  const [buyer, other] = [await shop.account('customer'), await shop.account('customer')];
  await commerce.fill(buyer, { [await commerce.product()]: 1 });
  expect((await other.client.get(`/internal/carts/${buyer.id}`)).status).toBe(403);
  expect((await shop.client.get(`/internal/carts/${buyer.id}`)).status).toBe(401);
  const path = `/internal/carts/${buyer.id}/sales/x`;
  expect((await other.client.put(path, { version: 'x' })).status).toBe(403);
  expect((await other.client.delete(path)).status).toBe(403);
  expect((await buyer.client.put(path, { version: '' })).status).toBe(400);
});
