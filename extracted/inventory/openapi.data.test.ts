import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { openApiDocument } from './openapi.ts';
import { startTestInventory, type TestInventory } from './testing/inventory.ts';

const document = openApiDocument();
const root = 'https://inventory.example/openapi';
const ajv = new Ajv2020({ strict: false, allErrors: true });
ajvFormats.default(ajv);
ajv.addSchema({ ...document, $id: root } as AnySchema);

let inventory: TestInventory;
let admin: string;
let customer: string;
beforeAll(async () => {
  inventory = await startTestInventory('openapi');
  admin = await inventory.issuer.token(1, 'admin');
  customer = await inventory.issuer.token(101, 'customer');
  await inventory.product(5);
  await inventory.product();
});
afterAll(() => inventory?.stop());

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

type Call = [
  method: string,
  template: string,
  path: string,
  status: number,
  options?: Parameters<TestInventory['send']>[2],
];

const one = '/api/inventory/{productId}';
const many = '/api/inventory/{productId}/adjustments';
const path = '/api/inventory/1/adjustments';
const body = { delta: 2, reason: 'counted' };

const calls = (): Call[] => [
  ['GET', one, '/api/inventory/1', 200],
  ['GET', one, '/api/inventory/2', 200],
  ['GET', one, '/api/inventory/1', 304, { headers: { 'if-none-match': '*' } }],
  ['GET', one, '/api/inventory/x', 400],
  ['GET', one, '/api/inventory/999', 404],
  ['POST', many, path, 201, { token: admin, body }],
  ['POST', many, path, 400, { token: admin, body: {} }],
  ['POST', many, path, 401, { body }],
  ['POST', many, path, 403, { token: customer, body }],
  ['POST', many, '/api/inventory/999/adjustments', 404, { token: admin, body }],
  ['POST', many, path, 409, { token: admin, body: { ...body, delta: -1_000 } }],
  ['POST', many, path, 412, { token: admin, body, headers: { 'if-match': '"x"' } }],
  ['POST', many, path, 413, { token: admin, body: `"${'x'.repeat(102_400)}"` }],
  ['POST', many, path, 415, { token: admin, body: 'x', headers: { 'content-type': 'text/plain' } }],
  ['GET', many, `${path}?limit=1`, 200, { token: admin }],
  ['GET', many, `${path}?limit=0`, 400, { token: admin }],
  ['GET', many, path, 401],
  ['GET', many, path, 403, { token: customer }],
  ['GET', many, '/api/inventory/999/adjustments', 404, { token: admin }],
  ['GET', '/health/live', '/health/live', 200],
  ['GET', '/health/ready', '/health/ready', 200],
  ['GET', '/metrics', '/metrics', 200],
  ['GET', '/openapi.json', '/openapi.json', 200],
];

test('every operation is called, and answers what the document says', async () => {
  const called = new Set<string>();
  for (const [method, template, path, status, options] of calls()) {
    const answer = await inventory.send(method, path, options);
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
  expect((await inventory.send('GET', '/openapi.json')).body).toEqual(JSON.parse(JSON.stringify(document)));
  expect((await inventory.send('GET', '/api/openapi.json')).status).toBe(404);
});
