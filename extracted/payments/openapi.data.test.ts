import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { openApiDocument } from './openapi.ts';
import { chargeBody, customerId, type SendOptions, startTestPayments, type TestPayments } from './testing/payments.ts';
import { sign, webhookOf } from './testing/provider.ts';

const document = openApiDocument();
const root = 'https://payments.example/openapi';
const ajv = new Ajv2020({ strict: false, allErrors: true });
ajvFormats.default(ajv);
ajv.addSchema({ ...document, $id: root } as AnySchema);

let payments: TestPayments;
let admin: string;
let customer: string;
beforeAll(async () => {
  payments = await startTestPayments('openapi', { PROVIDER_TIMEOUT: '300ms' });
  ({ admin, customer } = payments);
  await payments.charge(1, 'tok_good');
});
afterAll(() => payments?.stop());

type Node = Record<string, unknown>;

/** The node at a JSON pointer, after following `$ref`s, and where it was found. */
function at(pointer: string): { node: Node | undefined; pointer: string } {
  const names = pointer.split('/').slice(1);
  const node = names
    .map((name) => name.replaceAll('~1', '/'))
    .reduce<unknown>((parent, name) => (parent as Node | undefined)?.[name], document) as Node | undefined;
  const ref = node?.$ref as string | undefined;
  return ref === undefined ? { node, pointer } : at(ref.slice(1));
}

const v2Type = 'application/vnd.shop.payments.v2+json';
const inV2 = (orderId: number, card_token: string) => ({
  ...{ order_id: orderId, account_id: customerId, amount: { value: 500, currency: 'EUR' }, card_token },
});
const hook = JSON.stringify(webhookOf({ reference: 'pay_x' }));
const hookHeaders = (signature: string) => ({ 'content-type': 'application/json', 'provider-signature': signature });

type Call = [method: string, template: string, path: string, status: number, options?: SendOptions];
const calls = (): Call[] => [
  ['GET', '/api/payments/{id}', '/api/payments/1', 200, { token: customer }],
  ['GET', '/api/payments/{id}', '/api/payments/1', 200, { token: admin, headers: { accept: v2Type } }],
  [
    'GET',
    '/api/payments/{id}',
    '/api/payments/1',
    406,
    { token: admin, headers: { accept: 'application/vnd.shop.payments.v9+json' } },
  ],
  ['GET', '/api/payments/{id}', '/api/payments/x', 400, { token: admin }],
  ['GET', '/api/payments/{id}', '/api/payments/1', 401],
  ['GET', '/api/payments/{id}', '/api/payments/99', 404, { token: admin }],
  ['GET', '/api/v2/payments/{id}', '/api/v2/payments/1', 200, { token: customer }],
  ['GET', '/api/v2/payments/{id}', '/api/v2/payments/1', 200, { token: customer, headers: { accept: v2Type } }],
  ['GET', '/api/v2/payments/{id}', '/api/v2/payments/99', 404, { token: admin }],
  ['POST', '/api/payments', '/api/payments', 201, { token: admin, key: 'a', body: chargeBody(2, 'tok_good') }],
  ['POST', '/api/payments', '/api/payments', 202, { token: admin, key: 'b', body: chargeBody(3, 'tok_lost') }],
  ['POST', '/api/payments', '/api/payments', 402, { token: admin, key: 'c', body: chargeBody(4, 'tok_decline') }],
  ['POST', '/api/payments', '/api/payments', 400, { token: admin, key: 'd', body: { ...chargeBody(4, 'x'), more: 1 } }],
  ['POST', '/api/payments', '/api/payments', 400, { token: admin, body: chargeBody(4, 'tok_good') }],
  ['POST', '/api/payments', '/api/payments', 403, { token: customer, key: 'e', body: chargeBody(5, 'tok_good') }],
  ['POST', '/api/payments', '/api/payments', 409, { token: admin, key: 'f', body: chargeBody(2, 'tok_good', 1) }],
  ['POST', '/api/payments', '/api/payments', 413, { token: admin, key: 'g', body: `"${'x'.repeat(102_400)}"` }],
  [
    'POST',
    '/api/payments',
    '/api/payments',
    415,
    { token: admin, key: 'h', body: 'x', headers: { 'content-type': 'text/plain' } },
  ],
  ['POST', '/api/payments', '/api/payments', 422, { token: admin, key: 'a', body: chargeBody(6, 'tok_good') }],
  ['POST', '/api/v2/payments', '/api/v2/payments', 201, { token: admin, key: 'i', body: inV2(7, 'tok_good') }],
  ['POST', '/api/v2/payments', '/api/v2/payments', 202, { token: admin, key: 'j', body: inV2(8, 'tok_lost') }],
  ['POST', '/api/v2/payments', '/api/v2/payments', 402, { token: admin, key: 'k', body: inV2(9, 'tok_decline') }],
  ['POST', '/api/v2/payments', '/api/v2/payments', 400, { token: admin, key: 'l', body: chargeBody(9, 'tok_good') }],
  [
    'POST',
    '/api/payments/{id}/refunds',
    '/api/payments/1/refunds',
    201,
    { token: admin, key: 'm', body: { amount_cents: 100 } },
  ],
  [
    'POST',
    '/api/payments/{id}/refunds',
    '/api/payments/1/refunds',
    409,
    { token: admin, key: 'n', body: { amount_cents: 901 } },
  ],
  ['POST', '/api/payments/{id}/refunds', '/api/payments/99/refunds', 404, { token: admin, key: 'o', body: {} }],
  [
    'POST',
    '/api/v2/payments/{id}/refunds',
    '/api/v2/payments/1/refunds',
    201,
    { token: admin, key: 'p', body: { amount: { value: 50, currency: 'EUR' } } },
  ],
  [
    'POST',
    '/api/v2/payments/{id}/refunds',
    '/api/v2/payments/1/refunds',
    409,
    { token: admin, key: 'q', body: { amount: { value: 50, currency: 'USD' } } },
  ],
  ['POST', '/api/v2/payments/{id}/refunds', '/api/v2/payments/1/refunds', 201, { token: admin, key: 'r' }],
  ['POST', '/api/payments/webhooks', '/api/payments/webhooks', 200, { headers: hookHeaders(sign(hook)), body: hook }],
  ['POST', '/api/payments/webhooks', '/api/payments/webhooks', 400, { headers: hookHeaders('x'), body: hook }],
  ['POST', '/api/payments/webhooks', '/api/payments/webhooks', 401, { headers: hookHeaders(sign('x')), body: hook }],
  [
    'POST',
    '/api/payments/webhooks',
    '/api/payments/webhooks',
    413,
    { headers: hookHeaders(sign('x')), body: 'x'.repeat(65_537) },
  ],
  ['GET', '/health/live', '/health/live', 200],
  ['GET', '/health/ready', '/health/ready', 200],
  ['GET', '/metrics', '/metrics', 200],
  ['GET', '/openapi.json', '/openapi.json', 200],
];

test('every operation is called, and answers what the document says', async () => {
  const called = new Set<string>();
  for (const [method, template, path, status, options] of calls()) {
    const answer = await payments.send(method, path, options);
    const what = `${method} ${path} ${options?.key ?? ''}`;
    expect({ what, status: answer.status, text: answer.status === status ? '' : answer.text }).toEqual({
      what,
      status,
      text: '',
    });
    called.add(`${method} ${template}`);

    const start = `/paths/${template.replaceAll('/', '~1')}/${method.toLowerCase()}/responses/${status}`;
    const { node: response, pointer } = at(start);
    expect({ what, described: response !== undefined }).toEqual({ what, described: true });
    const v2Asked = options?.headers?.accept === v2Type;
    for (const name of Object.keys((response?.headers ?? {}) as Node)) {
      if (v2Asked && name !== 'Vary') continue;
      expect({ what, name, value: answer.headers.get(name) }).toEqual({ what, name, value: expect.any(String) });
    }
    const content = response?.content as Node;
    const type = answer.headers.get('content-type')?.split(';')[0] ?? '';
    expect(Object.keys(content)).toContain(type);
    const schema = `${pointer}/content/${type.replaceAll('/', '~1')}/schema`;
    const validate = ajv.compile({ $ref: `${root}#${schema.split('/').map(encodeURIComponent).join('/')}` });
    validate(answer.body ?? answer.text);
    expect({ what, errors: validate.errors }).toEqual({ what, errors: null });
  }
  const methods = ['get', 'put', 'post', 'delete', 'patch'] as const;
  const described = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    methods.filter((method) => item?.[method]).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect([...called].sort()).toEqual(described.sort());
});

test('the first version says that it ends and what comes after it, refusals included; the second does not', async () => {
  for (const path of ['/api/payments/1', '/api/payments/99']) {
    const { headers } = await payments.send('GET', path, { token: admin });
    expect([headers.get('deprecation'), headers.get('sunset'), headers.get('link')]).toEqual([
      `@${Date.UTC(2026, 10, 1) / 1000}`,
      'Mon, 01 Nov 2027 00:00:00 GMT',
      `<${path.replace('/api/', '/api/v2/')}>; rel="successor-version"`,
    ]);
  }
  for (const [path, accept] of [
    ['/api/v2/payments/1', '*/*'],
    ['/api/payments/1', v2Type],
  ] as const) {
    const { headers } = await payments.send('GET', path, { token: admin, headers: { accept } });
    expect([headers.get('deprecation'), headers.get('sunset'), headers.get('link')]).toEqual([null, null, null]);
  }
});

test('the second version shows amounts as one thing, and how the payment came to be what it is', async () => {
  await payments.charge(20, 'tok_good');
  const { body } = await payments.send('POST', '/api/payments', {
    token: admin,
    key: 'order-20',
    body: chargeBody(20, 'tok_good'),
  });
  await payments.send('POST', `/api/payments/${body.id}/refunds`, {
    token: admin,
    key: 'h1',
    body: { amount_cents: 250 },
  });
  await payments.send('POST', `/api/payments/${body.id}/refunds`, { token: admin, key: 'h2', body: {} });
  const shown = (await payments.send('GET', `/api/v2/payments/${body.id}`, { token: customer })).body;
  expect(shown).toMatchObject({
    status: 'refunded',
    amount: { value: 1_000, currency: 'EUR' },
    refunded: { value: 1_000, currency: 'EUR' },
    refunds: [
      { amount: { value: 250 }, status: 'done' },
      { amount: { value: 750 }, status: 'done' },
    ],
  });
  const history = shown.history.map((entry: { status: string; refunded: { value: number } }) => [
    entry.status,
    entry.refunded.value,
  ]);
  expect(history).toEqual([
    ['pending', 0],
    ['settled', 0],
    ['settled', 250],
    ['refunding', 250],
    ['refunded', 1_000],
  ]);
});

test('nobody sees the payment of another', async () => {
  const stranger = await payments.issuer.token(customerId + 1, 'customer');
  for (const path of ['/api/payments/1', '/api/v2/payments/1']) {
    expect((await payments.send('GET', path, { token: stranger })).status).toBe(404);
  }
});
