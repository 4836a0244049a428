import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { openApiDocument } from './openapi.ts';
import { startTestCatalog, type TestCatalog } from './testing/catalog.ts';

const document = openApiDocument();
const root = 'https://catalog.example/openapi';
const ajv = new Ajv2020({ strict: false, allErrors: true });
ajvFormats.default(ajv);
ajv.addSchema({ ...document, $id: root } as AnySchema);

let catalog: TestCatalog;
let admin: string;
let customer: string;
beforeAll(async () => {
  catalog = await startTestCatalog('openapi');
  admin = await catalog.issuer.token(1, 'admin');
  customer = await catalog.issuer.token(101, 'customer');
});
afterAll(() => catalog?.stop());

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

const product = { sku: 'OPENAPI-1', name: 'Described', category_id: 3, price_cents: 1 };
const match = { 'if-match': '*' };
type Call = [
  method: string,
  template: string,
  path: string,
  status: number,
  options?: Parameters<TestCatalog['send']>[2],
];

const calls = (): Call[] => [
  ['GET', '/api/products', '/api/products?limit=3&sort=name', 200],
  ['GET', '/api/products', '/api/products?limit=0', 400],
  ['POST', '/api/products', '/api/products', 201, { token: admin, body: product }],
  ['POST', '/api/products', '/api/products', 400, { token: admin, body: {} }],
  ['POST', '/api/products', '/api/products', 401, { body: product }],
  ['POST', '/api/products', '/api/products', 403, { token: customer, body: product }],
  ['POST', '/api/products', '/api/products', 409, { token: admin, body: product }],
  ['POST', '/api/products', '/api/products', 413, { token: admin, body: `"${'x'.repeat(102_400)}"` }],
  [
    'POST',
    '/api/products',
    '/api/products',
    415,
    { token: admin, body: 'x', headers: { 'content-type': 'text/plain' } },
  ],
  ['GET', '/api/products/{id}', '/api/products/1', 200],
  ['GET', '/api/products/{id}', '/api/products/1', 304, { headers: { 'if-none-match': '*' } }],
  ['GET', '/api/products/{id}', '/api/products/999', 404],
  [
    'PUT',
    '/api/products/{id}',
    '/api/products/2',
    200,
    { token: admin, headers: match, body: { ...product, sku: 'OPENAPI-2' } },
  ],
  ['PUT', '/api/products/{id}', '/api/products/2', 428, { token: admin, body: product }],
  [
    'PATCH',
    '/api/products/{id}',
    '/api/products/2',
    200,
    { token: admin, headers: match, body: { attributes: { a: true } } },
  ],
  ['PATCH', '/api/products/{id}', '/api/products/2', 412, { token: admin, headers: { 'if-match': '"x"' }, body: {} }],
  ['DELETE', '/api/products/{id}', '/api/products/3', 204, { token: admin, headers: match }],
  ['GET', '/api/products/{id}/reviews', '/api/products/1/reviews?limit=2', 200],
  [
    'POST',
    '/api/products/{id}/reviews',
    '/api/products/4/reviews',
    201,
    { token: customer, body: { rating: 4, title: 't', body: 'b' } },
  ],
  [
    'POST',
    '/api/products/{id}/reviews',
    '/api/products/4/reviews',
    409,
    { token: customer, body: { rating: 4, title: 't', body: 'b' } },
  ],
  ['DELETE', '/api/products/{id}/reviews/{reviewId}', '/api/products/1/reviews/2', 403, { token: customer }],
  ['DELETE', '/api/products/{id}/reviews/{reviewId}', '/api/products/1/reviews/1', 204, { token: customer }],
  ['GET', '/api/categories', '/api/categories', 200],
  ['POST', '/api/categories', '/api/categories', 201, { token: admin, body: { name: 'N', slug: 'n' } }],
  [
    'PUT',
    '/api/categories/{id}',
    '/api/categories/4',
    200,
    { token: admin, body: { name: 'M', slug: 'm', parent_id: 1 } },
  ],
  ['PUT', '/api/categories/{id}', '/api/categories/999', 404, { token: admin, body: { name: 'M', slug: 'o' } }],
  ['DELETE', '/api/categories/{id}', '/api/categories/4', 204, { token: admin }],
  ['DELETE', '/api/categories/{id}', '/api/categories/2', 409, { token: admin }],
  ['GET', '/health/live', '/health/live', 200],
  ['GET', '/health/ready', '/health/ready', 200],
  ['GET', '/metrics', '/metrics', 200],
  ['GET', '/openapi.json', '/openapi.json', 200],
];

test('every operation is called, and answers what the document says', async () => {
  const called = new Set<string>();
  for (const [method, template, path, status, options] of calls()) {
    const answer = await catalog.send(method, path, options);
    const what = `${method} ${path}`;
    expect({ what, status: answer.status }).toEqual({ what, status });
    called.add(`${method} ${template}`);

    const start = `/paths/${template.replaceAll('/', '~1')}/${method.toLowerCase()}/responses/${status}`;
    const { node: response, pointer } = at(start);
    expect({ what, described: response !== undefined }).toEqual({ what, described: true });
    for (const name of Object.keys((response?.headers ?? {}) as Node)) {
      expect({ what, name, value: answer.headers.get(name) }).toEqual({ what, name, value: expect.any(String) });
    }
    const content = response?.content as Node | undefined;
    if (content === undefined) {
      expect({ what, text: answer.text }).toEqual({ what, text: '' });
      continue;
    }
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

test('the document is served beside the API, not in it', async () => {
  expect((await catalog.send('GET', '/openapi.json')).body).toEqual(JSON.parse(JSON.stringify(document)));
  expect((await catalog.send('GET', '/api/openapi.json')).status).toBe(404);
});
