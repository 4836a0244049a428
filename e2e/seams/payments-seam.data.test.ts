import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { retireTables } from '@strangler/migrations/engine/stages/retire-tables.ts';
import type { TestAccount } from '@strangler/monolith/testing/shop.ts';
import { paymentsProtoPath } from '@strangler/payments/grpc/server.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { RowDataPacket } from 'mysql2/promise';
import { type PaymentSides, startPaymentSides } from './payments.fixture.ts';

let sides: PaymentSides;
beforeAll(async () => {
  sides = await startPaymentSides('paying');
});
afterAll(() => sides?.stop());

async function buyer(): Promise<TestAccount> {
  const account = await sides.shop.account('customer');
  await sides.commerce.fill(account, { [await sides.commerce.product()]: 1 });
  return account;
}
const nothingOpen = () =>
  eventually(async () => {
    expect(await sides.shop.deps.models.PaymentErrand.count({ where: { done_at: null } })).toBe(0);
  });
/** Not through the contract's client: like every operation this one may answer 503, which the document says in its preface. */
const checkOutBlindly = (account: TestAccount, key: string) =>
  fetch(`${sides.shop.url}/api/checkout`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${account.token}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body: JSON.stringify({ card_token: 'tok_visa' }),
  });
const kindsOf = async ({ client }: TestAccount): Promise<string[]> =>
  (await client.get('/api/notifications?limit=100')).body.items.map(({ kind }: { kind: string }) => kind).sort();

test('the shop has the service’s proto, to the letter', () => {
  const own = new URL('../../monolith/modules/payments/owner/payments.proto', import.meta.url);
  expect(readFileSync(own, 'utf8')).toBe(readFileSync(paymentsProtoPath, 'utf8'));
});

test('while the payments are the shop’s, the service knows nothing of them', async () => {
  const account = await buyer();
  const { status, body } = await sides.commerce.checkOut(account);
  expect([status, body.payment.status]).toEqual([201, 'settled']);
  expect(await sides.statusAt(sides.service, body.order.id)).toBeUndefined();
  const cancelled = await account.client.post(`/api/orders/${body.order.id}/cancel`);
  expect([cancelled.status, cancelled.body.payment.status]).toEqual([200, expect.stringMatching(/^refund/)]);
  await eventually(async () => expect(await sides.statusAt(sides.monolith, body.order.id)).toBe('refunded'));
  expect(await sides.keptCents()).toBe(0);
});

describe('once the payments are the service’s', () => {
  beforeAll(() => sides.own('service'));

  test('it takes the money: the order is paid at once, and its customer is told once', async () => {
    const account = await buyer();
    const { status, body } = await sides.commerce.checkOut(account);
    expect([status, body.order.status, body.payment.status]).toEqual([201, 'paid', 'settled']);
    expect(await sides.statusAt(sides.service, body.order.id)).toBe('settled');
    expect(await sides.statusAt(sides.monolith, body.order.id)).toBeUndefined();
    await eventually(async () => expect(await kindsOf(account)).toEqual(['order_placed', 'payment_settled']));

    const cancelled = await account.client.post(`/api/orders/${body.order.id}/cancel`);
    expect(cancelled.status).toBe(200);
    await nothingOpen();
    await eventually(async () => expect(await sides.statusAt(sides.service, body.order.id)).toBe('refunded'));
    const all = ['order_cancelled', 'order_placed', 'payment_refunded', 'payment_settled'];
    await eventually(async () => expect(await kindsOf(account)).toEqual(all));
    expect(await sides.keptCents()).toBe(0);
  });

  test('a declined card cancels the order; one of which nobody knows yet pays it later', async () => {
    const declined = await sides.commerce.checkOut(await buyer(), { cardToken: 'tok_decline' });
    expect([declined.status, declined.body.payment.failure_code]).toEqual([402, 'card_declined']);
    const account = await buyer();
    const { status, body } = await sides.commerce.checkOut(account, { cardToken: 'tok_timeout' });
    expect([status, body.payment.status]).toEqual([201, 'pending']);
    await eventually(async () => {
      expect((await account.client.get(`/api/orders/${body.order.id}`)).body.status).toBe('paid');
    });
    await nothingOpen();
  });

  test('one that cannot be reached is asked again under the same key: one order, charged once', async () => {
    const account = await buyer();
    const before = await sides.keptCents();
    await sides.line.refuse();
    const refused = await checkOutBlindly(account, 'again');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    await sides.line.pass();
    const answer = await eventually(async () => {
      const again = await checkOutBlindly(account, 'again');
      return again.status === 201 && ((await again.json()) as { order: { id: number; total_cents: number } });
    });
    expect(await sides.shop.deps.models.Order.count({ where: { account_id: account.id } })).toBe(1);
    expect(await sides.keptCents()).toBe(before + answer.order.total_cents);
    await nothingOpen();
  });

  test('an order that it never heard of is paid by the shop, where the payments have gone back meanwhile', async () => {
    const account = await buyer();
    await sides.line.refuse();
    expect((await checkOutBlindly(account, 'home')).status).toBe(503);
    await sides.own('monolith');
    await sides.line.pass();
    const answer = await checkOutBlindly(account, 'home');
    const { order, payment } = (await answer.json()) as { order: { id: number }; payment: { status: string } };
    expect([answer.status, payment.status]).toEqual([201, 'settled']);
    expect(await sides.statusAt(sides.monolith, order.id)).toBe('settled');
    expect(await sides.statusAt(sides.service, order.id)).toBeUndefined();
    await nothingOpen();
  });
});

describe('in the end, when the shop has no table of them', () => {
  const retired = { slice: 'payments', tables: ['payments', 'payment_events'] };
  beforeAll(async () => {
    await sides.own('service', 'complete');
    const [[row]] = await sides.monolith.query<RowDataPacket[]>('SELECT DATABASE() AS name');
    await retireTables(sides.monolith, { ...retired, database: String(row?.name) });
  });

  test('orders are paid, shown with their payments in lists and alone, and cancelled', async () => {
    const account = await buyer();
    const { status, body } = await sides.commerce.checkOut(account);
    expect([status, body.payment.status]).toEqual([201, 'settled']);
    const listed = await account.client.get('/api/orders');
    expect(listed.body.items.map(({ payment }: { payment: unknown }) => payment)).toEqual([body.payment]);
    expect((await account.client.get(`/api/orders/${body.order.id}`)).body.payment).toEqual(body.payment);
    expect((await account.client.post(`/api/orders/${body.order.id}/cancel`)).status).toBe(200);
    await eventually(async () => expect(await sides.statusAt(sides.service, body.order.id)).toBe('refunded'));
    await nothingOpen();
  });

  test('whoever asks the shop for a payment is sent back to the proxy', async () => {
    const account = await sides.shop.account('customer');
    const headers = { authorization: `Bearer ${account.token}` };
    const answer = await fetch(`${sides.shop.url}/api/payments/1`, { headers });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
  });

  test('while the service is away orders are not shown without their payments: nobody is told that there is none', async () => {
    const account = await buyer();
    await sides.commerce.checkOut(account);
    await sides.line.refuse();
    const headers = { authorization: `Bearer ${account.token}` };
    expect((await fetch(`${sides.shop.url}/api/orders`, { headers })).status).toBe(503);
    await sides.line.pass();
    await eventually(async () => expect((await account.client.get('/api/orders')).status).toBe(200));
  });
});
