import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { openApiDocument } from './openapi.ts';
import { customerId, type SendOptions, startTestOrders, type TestOrders } from './testing/orders.ts';

const document = openApiDocument();
const root = 'https://orders.example/openapi';
const ajv = new Ajv2020({ strict: false, allErrors: true });
ajvFormats.default(ajv);
ajv.addSchema({ ...document, $id: root } as AnySchema);

let orders: TestOrders;
/** Of a checkout that was not waited for. */
let checkoutPath: string;
beforeAll(async () => {
  orders = await startTestOrders('openapi');
  // As the pipe copies it.
  await orders.pool.query("INSERT INTO categories (id, name, slug) VALUES (1, 'Things', 'things')");
  await orders.pool.query(
    "INSERT INTO products (id, sku, name, category_id, price_cents, currency, active) VALUES (1, 'SKU-1', 'A thing', 1, 900, 'EUR', 1)",
  );
  await orders.pool.query(
    "INSERT INTO cancellations (order_id, stock, payment, told_at) VALUES (4711, 'asked', 'asked', UTC_TIMESTAMP(3))",
  );
  await orders.buy({ key: 'first' });
  await orders.buy({ key: 'second' });
  await orders.send('POST', '/api/orders/2/ship', { token: orders.admin });
  const answer = await orders.buy({ key: 'third', headers: { prefer: 'respond-async' } });
  checkoutPath = answer.headers.get('location') ?? '';
});
afterAll(() => orders?.stop());

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

type Call = [method: string, template: string, path: string, status: number, options?: SendOptions & { cart?: number }];
const pay = { card_token: 'tok_visa' };
const calls = (): Call[] => {
  const { admin, customer } = orders;
  const buy = (
    key: string,
    status: number,
    cart: number,
    body: unknown = pay,
    headers: Record<string, string> = {},
  ): Call => {
    return ['POST', '/api/checkout', '/api/checkout', status, { token: customer, key, cart, body, headers }];
  };
  return [
    ['GET', '/api/orders', '/api/orders', 200, { token: customer }],
    ['GET', '/api/orders', '/api/orders?limit=0', 400, { token: customer }],
    ['GET', '/api/orders', '/api/orders', 401],
    ['GET', '/api/orders', '/api/orders?account_id=1', 403, { token: customer }],
    ['GET', '/api/orders/{id}', '/api/orders/1', 200, { token: customer }],
    ['GET', '/api/orders/{id}', '/api/orders/x', 400, { token: customer }],
    ['GET', '/api/orders/{id}', '/api/orders/1', 401],
    ['GET', '/api/orders/{id}', '/api/orders/99', 404, { token: admin }],
    ['POST', '/api/orders/{id}/cancel', '/api/orders/1/cancel', 200, { token: customer }],
    ['POST', '/api/orders/{id}/cancel', '/api/orders/x/cancel', 400, { token: customer }],
    ['POST', '/api/orders/{id}/cancel', '/api/orders/1/cancel', 401],
    ['POST', '/api/orders/{id}/cancel', '/api/orders/99/cancel', 404, { token: customer }],
    ['POST', '/api/orders/{id}/cancel', '/api/orders/2/cancel', 409, { token: customer }],
    ['POST', '/api/orders/{id}/ship', '/api/orders/2/ship', 200, { token: admin }],
    ['POST', '/api/orders/{id}/ship', '/api/orders/x/ship', 400, { token: admin }],
    ['POST', '/api/orders/{id}/ship', '/api/orders/2/ship', 401],
    ['POST', '/api/orders/{id}/ship', '/api/orders/2/ship', 403, { token: customer }],
    ['POST', '/api/orders/{id}/ship', '/api/orders/99/ship', 404, { token: admin }],
    ['POST', '/api/orders/{id}/ship', '/api/orders/1/ship', 409, { token: admin }],
    buy('a', 201, 1),
    buy('a', 201, 1),
    buy('b', 402, 1, { card_token: 'tok_decline' }),
    buy('c', 409, 0),
    buy('d', 409, 99_999),
    buy('e', 400, 1, { ...pay, more: 1 }),
    buy('f', 202, 1, pay, { prefer: 'respond-async' }),
    buy('a', 422, 1, { card_token: 'tok_other' }),
    buy('g', 413, 1, `"${'x'.repeat(102_400)}"`),
    buy('h', 415, 1, 'x', { 'content-type': 'text/plain' }),
    ['POST', '/api/checkout', '/api/checkout', 401, { key: 'i', body: pay }],
    ['GET', '/api/checkouts/{id}', checkoutPath, 200, { token: customer }],
    ['GET', '/api/checkouts/{id}', '/api/checkouts/A', 400, { token: customer }],
    ['GET', '/api/checkouts/{id}', checkoutPath, 401],
    ['GET', '/api/checkouts/{id}', '/api/checkouts/sale-none', 404, { token: customer }],
    [
      'GET',
      '/internal/reports/customers/{accountId}',
      `/internal/reports/customers/${customerId}`,
      200,
      { token: admin },
    ],
    [
      'GET',
      '/internal/reports/product-days',
      '/internal/reports/product-days?from=2026-01-01&to=2026-01-02',
      200,
      { token: admin },
    ],
    ['GET', '/internal/reports/product-days', '/internal/reports/product-days', 400, { token: admin }],
    ['GET', '/internal/read-models/{name}', '/internal/read-models/sales', 200, { token: admin }],
    ['GET', '/internal/read-models/{name}', '/internal/read-models/other', 404, { token: admin }],
    ['POST', '/internal/read-models/{name}/rebuild', '/internal/read-models/sales/rebuild', 503, { token: admin }],
    ['GET', '/internal/cancellations', '/internal/cancellations', 200, { token: admin }],
    ['GET', '/internal/cancellations/{orderId}', '/internal/cancellations/4711', 200, { token: admin }],
    ['GET', '/internal/cancellations/{orderId}', '/internal/cancellations/1', 404, { token: admin }],
    ['GET', '/health/live', '/health/live', 200],
    ['GET', '/health/ready', '/health/ready', 200],
    ['GET', '/metrics', '/metrics', 200],
    ['GET', '/openapi.json', '/openapi.json', 200],
  ];
};

test('every operation is called, and answers what the document says', async () => {
  const called = new Set<string>();
  for (const [method, template, path, status, { cart, ...options } = {}] of calls()) {
    if (cart !== undefined) orders.shop.fill(customerId, cart === 0 ? [] : [{ quantity: cart }]);
    const answer = await orders.send(method, path, options);
    const about = `${method} ${path}`;
    expect({ about, status: answer.status, text: answer.text.slice(0, 300) }).toMatchObject({ about, status });
    const pointer = `/paths/${template.replaceAll('/', '~1')}/${method.toLowerCase()}`;
    called.add(`${method} ${template}`);
    const response = at(`${pointer}/responses/${status}`);
    expect({ about, described: response.node !== undefined }).toEqual({ about, described: true });
    for (const [name, header] of Object.entries((response.node?.headers ?? {}) as Record<string, Node>)) {
      const described = header.$ref === undefined ? header : (at(String(header.$ref).slice(1)).node ?? {});
      if (described.required === true)
        expect({ about, name, found: answer.headers.has(name) }).toEqual({ about, name, found: true });
    }
    const media = (answer.headers.get('content-type') ?? '').split(';')[0] ?? '';
    if (!/json/.test(media)) continue;
    const schema = at(`${response.pointer}/content/${media.replaceAll('/', '~1')}/schema`);
    expect({ about, media, described: schema.node !== undefined }).toEqual({ about, media, described: true });
    const validate = ajv.compile({ $ref: `${root}#${encodeURI(schema.pointer)}` });
    const isValid = validate(answer.body);
    expect({ about, faults: isValid ? [] : validate.errors }).toEqual({ about, faults: [] });
  }
  const described = Object.entries(document.paths ?? {}).flatMap(([template, item]) =>
    Object.keys(item ?? {})
      .filter((key) => ['get', 'post', 'put', 'patch', 'delete'].includes(key))
      .map((key) => `${key.toUpperCase()} ${template}`),
  );
  expect([...called].sort()).toEqual(described.sort());
});
