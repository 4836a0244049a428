import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { commerceOf } from '@strangler/monolith/testing/commerce.ts';
import { startTestShop, type TestAccount, type TestShop } from '@strangler/monolith/testing/shop.ts';
import {
  type Send,
  type SendOptions,
  sender,
  startTestPayments,
  type TestPayments,
} from '@strangler/payments/testing/payments.ts';
import { sign, webhookOf, webhookSecret } from '@strangler/payments/testing/provider.ts';
import { QueryTypes } from 'sequelize';

let shop: TestShop;
let payments: TestPayments;
let customer: TestAccount;
let admin: TestAccount;
let toShop: Send;
/** Of a payment that both sides have, pending. */
let reference: string;
let id: number;
let amount: number;

beforeAll(async () => {
  payments = await startTestPayments('contract', {});
  shop = await startTestShop('contract_shop', {
    PAYMENT_PROVIDER_URL: payments.provider.url,
    PAYMENT_WEBHOOK_SECRET: webhookSecret,
    PAYMENT_TIMEOUT: '300ms',
  });
  const service = await payments.another({ JWKS_URL: `${shop.url}/.well-known/jwks.json` });
  payments = { ...payments, send: service.send };
  toShop = sender(shop.url);
  [customer, admin] = await Promise.all([shop.account('customer'), shop.account('admin')]);
  const commerce = await commerceOf(shop);
  await commerce.fill(customer, { [await commerce.product()]: 2 });
  await commerce.checkOut(customer, { cardToken: 'tok_lost' });
  const rows = await shop.database.sequelize.query<Record<string, unknown>>('SELECT * FROM payments', {
    type: QueryTypes.SELECT,
  });
  const [row] = rows;
  if (row === undefined) throw new Error('expected a payment in the shop');
  await payments.pool.query('INSERT INTO payments SET ?', [row]);
  ({ reference, id, amount_cents: amount } = row as { reference: string; id: number; amount_cents: number });
});
afterAll(async () => {
  await shop?.stop();
  await payments?.stop();
});

/** What a client sees, but for what the service adds and the request's own id and time. */
async function both(method: string, path: string, options?: SendOptions) {
  const answers = await Promise.all([toShop, payments.send].map((send) => send(method, path, options)));
  return answers.map(({ status, headers, text }) => ({
    status,
    text: text.replace(/"updated_at":"[^"]+"/, '"updated_at":"…"'),
    type: headers.get('content-type'),
    challenge: headers.get('www-authenticate'),
  }));
}

const hook = (body: string, header = sign(body)) =>
  both('POST', '/api/payments/webhooks', {
    headers: { 'content-type': 'application/json', ...(header === '' ? {} : { 'provider-signature': header }) },
    body,
  });

describe('shop and service answer alike', () => {
  test('a payment is shown to its customer and to administrators, and to nobody else', async () => {
    const stranger = await shop.account('customer');
    const tokens = [customer.token, admin.token, stranger.token, 'x.y.z', undefined];
    const seen = [];
    for (const token of tokens) {
      const [there, here] = await both('GET', `/api/payments/${id}`, token === undefined ? {} : { token });
      expect(here).toEqual(there);
      seen.push(there?.status);
    }
    expect(seen).toEqual([200, 200, 404, 401, 401]);
  });

  test.each(['0', 'x', '-1', '1.5', '999999', '99999999999999999999', '%00'])('payment %s', async (text) => {
    const [there, here] = await both('GET', `/api/payments/${text}`, { token: admin.token });
    expect(here).toEqual(there);
  });

  test('webhooks that are not genuine, or cannot be read', async () => {
    const good = JSON.stringify(webhookOf({ reference, amount_cents: amount }));
    const old = sign(good, { at: new Date(Date.now() - 3_600_000) }).replace(/t=\d+/, 't=1');
    const seen = [];
    for (const [body, header] of [
      [good, ''],
      [good, 't=1'],
      [good, sign('something else')],
      [good, old],
      ['{', sign('{')],
      ['{}', sign('{}')],
      ['[]', sign('[]')],
      ['{"id":"a b","type":"","data":{"charge":{"id":1}}}', undefined],
      [`"${'x'.repeat(70_000)}"`, undefined],
    ] as const) {
      const [there, here] = await hook(body, header ?? sign(body));
      expect(here).toEqual(there);
      seen.push(there?.status);
    }
    expect(seen).toEqual([400, 400, 401, 401, 400, 400, 400, 400, 413]);
  });

  test('webhooks, in the order in which they come', async () => {
    const seen = [];
    const settled = webhookOf({ reference, amount_cents: amount });
    for (const body of [
      webhookOf({ reference: 'pay_nobody' }),
      webhookOf({ reference, amount_cents: amount, status: 'pending' }),
      webhookOf({ reference, amount_cents: amount + 1 }),
      settled,
      settled,
      webhookOf({ reference, amount_cents: amount, status: 'failed', failure_code: 'card_declined' }),
      webhookOf({ reference, amount_cents: amount, refunded_cents: 1 }),
      webhookOf({ reference, amount_cents: amount, refunded_cents: amount }),
    ]) {
      const [there, here] = await hook(JSON.stringify(body));
      expect(here).toEqual(there);
      seen.push(JSON.parse(there?.text ?? '').outcome);
      const [shown, own] = await both('GET', `/api/payments/${id}`, { token: customer.token });
      expect(own).toEqual(shown);
    }
    expect(seen).toEqual([
      'ignored',
      'ignored',
      'mismatch',
      'applied',
      'duplicate',
      'no_effect',
      'no_effect',
      'applied',
    ]);
  });
});
