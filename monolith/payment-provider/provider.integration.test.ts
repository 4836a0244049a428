import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { checkSignature } from '../modules/payments/webhook-signature.ts';
import { startTestProvider, type TestProvider } from '../testing/payment-provider.ts';
import type { Charge, Refund } from './charge-book.ts';
import type { WebhookEvent } from './webhook-sender.ts';

const secret = 'a-secret-for-the-tests-of-webhooks';

let provider: TestProvider;
let shop: Server;
let shopUrl: string;
let received: { event: WebhookEvent; genuine: boolean }[] = [];
/** What the shop answers to the webhooks to come, in turn; 200 when there is nothing left. */
let answers: number[] = [];

beforeAll(async () => {
  shop = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const header = req.headers['provider-signature'];
    const check = checkSignature(secret, String(header), body, new Date());
    received.push({ event: JSON.parse(body.toString()), genuine: check.kind === 'genuine' });
    res.statusCode = answers.shift() ?? 200;
    res.end();
  });
  await new Promise<void>((resolve) => shop.listen(0, '127.0.0.1', resolve));
  shopUrl = `http://127.0.0.1:${(shop.address() as AddressInfo).port}/webhooks`;
  provider = await startTestProvider({ PAYMENT_WEBHOOK_SECRET: secret, WEBHOOK_URL: shopUrl });
});
afterAll(async () => {
  await provider?.stop();
  shop?.closeAllConnections();
  shop?.close();
});
afterEach(async () => {
  await provider.control({});
  received = [];
  answers = [];
});

type ChargeFields = { card_token?: string; reference?: string; amount_cents?: number; currency?: string };

async function charge(request: ChargeFields, { key = randomUUID() as string, timeoutMs = 5_000 } = {}) {
  const reference = `ref-${randomUUID()}`;
  const response = await fetch(`${provider.url}/v1/charges`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify({ amount_cents: 1_000, currency: 'EUR', reference, card_token: 'tok_visa', ...request }),
    signal: AbortSignal.timeout(timeoutMs),
  });
  return { status: response.status, body: (await response.json()) as Charge };
}

const refund = async (id: string, body: object, key: string = randomUUID()) => {
  const response = await fetch(`${provider.url}/v1/charges/${id}/refunds`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Refund };
};

const typesFor = (reference: string) =>
  received.filter(({ event }) => event.data.charge.reference === reference).map(({ event }) => event.type);

describe('the payment provider', () => {
  test('takes a charge, shows it, and tells of it by signed webhooks', async () => {
    const reference = randomUUID();
    const { status, body } = await charge({ reference });
    expect([status, body.status]).toEqual([201, 'succeeded']);
    expect(await (await fetch(`${provider.url}/v1/charges/${body.id}`)).json()).toEqual(body);
    expect(await provider.charges(reference)).toEqual([body]);
    await eventually(() => expect(typesFor(reference).sort()).toEqual(['charge.created', 'charge.succeeded']));
    expect(received.every(({ genuine }) => genuine)).toBe(true);
  });

  test('the same key and request is one charge, another request under the key is refused', async () => {
    const [key, reference] = [randomUUID(), randomUUID()];
    const first = await charge({ reference }, { key });
    const second = await charge({ reference }, { key });
    expect([second.status, second.body]).toEqual([200, first.body]);
    expect((await charge({ reference, amount_cents: 1 }, { key })).status).toBe(409);
    expect(await provider.charges(reference)).toHaveLength(1);
  });

  test('what is not valid is refused', async () => {
    expect((await charge({ amount_cents: 0 })).status).toBe(400);
    expect((await charge({ currency: 'eur' })).status).toBe(400);
    expect((await charge({ card_token: '4242' })).status).toBe(400);
    expect((await charge({}, { key: '' })).status).toBe(400);
    expect((await fetch(`${provider.url}/v1/charges/ch_none`)).status).toBe(404);
    expect((await fetch(`${provider.url}/v1/charges`)).status).toBe(400);
  });

  test('cards decline, by themselves or because all are told to', async () => {
    expect((await charge({ card_token: 'tok_decline' })).body).toMatchObject({
      status: 'failed',
      failure_code: 'card_declined',
    });
    await provider.control({ decline: true });
    expect((await charge({})).body.status).toBe('failed');
  });

  test('a charge that is never answered was taken; one that is lost was not', async () => {
    for (const [card_token, taken] of [
      ['tok_timeout', 1],
      ['tok_lost', 0],
    ] as const) {
      const reference = randomUUID();
      await expect(charge({ card_token, reference }, { timeoutMs: 200 })).rejects.toThrow(/timeout/);
      expect(await provider.charges(reference)).toHaveLength(taken);
    }
  });

  test('errors come before or after the money is taken', async () => {
    for (const [card_token, status, taken] of [
      ['tok_unavailable', 503, 0],
      ['tok_broken', 500, 1],
    ] as const) {
      const reference = randomUUID();
      expect((await charge({ card_token, reference })).status).toBe(status);
      expect(await provider.charges(reference)).toHaveLength(taken);
    }
    await provider.control({ error_rate: 1 });
    expect((await charge({})).status).toBe(503);
  });

  test('a charge decided later is pending first', async () => {
    await provider.control({ late_ms: 100 });
    const reference = randomUUID();
    expect((await charge({ card_token: 'tok_late_webhook', reference })).body.status).toBe('pending');
    await eventually(() => expect(typesFor(reference)).toEqual(['charge.created', 'charge.succeeded']));
  });

  test('webhooks come again until they are taken', async () => {
    answers = [500, 404, 302];
    const reference = randomUUID();
    await charge({ reference });
    await eventually(async () => {
      const deliveries = (await provider.webhooks()).filter((delivery) => delivery.reference === reference);
      expect(deliveries.map(({ state }) => state)).toEqual(['delivered', 'delivered']);
      expect(deliveries.reduce((sum, { attempts }) => sum + attempts, 0)).toBe(5);
    });
  });

  test('doubled webhooks carry the same event', async () => {
    const reference = randomUUID();
    await charge({ reference, card_token: 'tok_double_webhook' });
    await eventually(() => expect(typesFor(reference)).toHaveLength(4));
    expect(new Set(received.map(({ event }) => event.id)).size).toBe(2);
  });

  test('webhooks out of order: the later event comes first', async () => {
    await provider.control({ late_ms: 100 });
    const reference = randomUUID();
    await charge({ reference, card_token: 'tok_out_of_order' });
    await eventually(() => expect(typesFor(reference)).toEqual(['charge.succeeded', 'charge.created']));
  });

  test('refunds are paid once for a key, and never beyond what was taken', async () => {
    const { body } = await charge({});
    const key = randomUUID();
    const first = await refund(body.id, { amount_cents: 400 }, key);
    const second = await refund(body.id, { amount_cents: 400 }, key);
    expect([first.status, second.status, second.body]).toEqual([201, 200, first.body]);
    expect((await refund(body.id, { amount_cents: 601 })).status).toBe(409);
    expect((await refund(body.id, {})).body.amount_cents).toBe(600);
    expect((await refund(body.id, {})).status).toBe(409);
    expect((await refund('ch_none', {})).status).toBe(404);
    const declined = await charge({ card_token: 'tok_decline' });
    expect((await refund(declined.body.id, {})).status).toBe(409);
  });

  test('controls that do not exist are refused', async () => {
    await expect(provider.control({ slowly: true } as never)).rejects.toThrow(/400/);
  });
});
