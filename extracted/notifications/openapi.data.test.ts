import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { openApiDocument } from './openapi.ts';
import { type SendOptions, startTestService, type TestService } from './testing/notifications.ts';
import { shopEvents as events, leftToService as mark } from './testing/shop-events.ts';

const document = openApiDocument();
const root = 'https://notifications.example/openapi';
const ajv = new Ajv2020({ strict: false, allErrors: true });
ajvFormats.default(ajv);
ajv.addSchema({ ...document, $id: root } as AnySchema);

let service: TestService;
let admin: string;
let customer: string;
let id: number;
beforeAll(async () => {
  service = await startTestService('openapi', { MAIL_DELAY: '1h' });
  admin = await service.issuer.token(1, 'admin');
  customer = await service.issuer.token(101);
  await service.tell(events.registered(101));
  await service.tell(events.placed(42, 101, { mark }));
  await service.tell(events.payment('settled', 42, 101, { mark }));
  id = await eventually(async () => {
    const { body } = await service.send('GET', '/api/notifications', { token: customer });
    return body.items.length === 2 && (body.items[1].id as number);
  });
  await eventually(async () => {
    const invoice = await service.send('GET', '/api/notifications/invoices/42', { token: customer });
    expect(invoice.status).toBe(200);
  });
  await service.pool.query("UPDATE jobs SET state = 'failed', finished_at = NOW(3) WHERE id = ?", [`email-${id}`]);
});
afterAll(() => service?.stop());

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

const handover = { expected_seq: 0, side: 'service', from: { epoch: 9, id: '1' }, reason: 'a test' };
const large = `"${'x'.repeat(102_400)}"`;
const plain = { body: 'x', headers: { 'content-type': 'text/plain' } };
type Call = [method: string, template: string, path: string, status: number, options?: SendOptions];

const calls = (): Call[] => {
  const own = '/api/notifications';
  const job = `${own}/jobs/email-${id}`;
  return [
    ['GET', own, `${own}?limit=1`, 200, { token: customer }],
    ['GET', own, `${own}?limit=0`, 400, { token: customer }],
    ['GET', own, own, 401],
    ['POST', `${own}/{id}/read`, `${own}/${id}/read`, 200, { token: customer }],
    ['POST', `${own}/{id}/read`, `${own}/1/read`, 404, { token: customer }],
    ['GET', `${own}/stream`, `${own}/stream`, 426, { token: customer }],
    ['GET', `${own}/preferences`, `${own}/preferences`, 200, { token: customer }],
    [
      'PUT',
      `${own}/preferences`,
      `${own}/preferences`,
      200,
      { token: customer, body: { locale: 'de', email: 'each' } },
    ],
    ['PUT', `${own}/preferences`, `${own}/preferences`, 400, { token: customer, body: { locale: 'xx' } }],
    ['PUT', `${own}/preferences`, `${own}/preferences`, 413, { token: customer, body: large }],
    ['PUT', `${own}/preferences`, `${own}/preferences`, 415, { token: customer, ...plain }],
    ['GET', `${own}/invoices/{id}`, `${own}/invoices/42`, 200, { token: customer }],
    ['GET', `${own}/invoices/{id}`, `${own}/invoices/43`, 404, { token: customer }],
    ['GET', `${own}/jobs`, `${own}/jobs?limit=2`, 200, { token: admin }],
    ['GET', `${own}/jobs`, `${own}/jobs?state=x`, 400, { token: admin }],
    ['GET', `${own}/jobs`, `${own}/jobs`, 403, { token: customer }],
    ['GET', `${own}/jobs/{id}`, job, 200, { token: customer }],
    ['GET', `${own}/jobs/{id}`, `${own}/jobs/email-1`, 404, { token: admin }],
    ['GET', `${own}/jobs/{id}`, `${own}/jobs/x`, 400, { token: admin }],
    ['POST', `${own}/jobs/{id}/retry`, `${job}/retry`, 403, { token: customer }],
    ['POST', `${own}/jobs/{id}/retry`, `${own}/jobs/email-1/retry`, 404, { token: admin }],
    ['POST', `${own}/jobs/{id}/retry`, `${own}/jobs/invoice-42/retry`, 409, { token: admin }],
    ['POST', `${own}/jobs/{id}/retry`, `${job}/retry`, 202, { token: admin }],
    ['POST', '/internal/digests', '/internal/digests', 202, { token: admin, body: { day: '2026-01-01' } }],
    ['POST', '/internal/digests', '/internal/digests', 400, { token: admin, body: { day: 'x' } }],
    ['GET', '/internal/settings', '/internal/settings', 200, { token: admin }],
    ['GET', '/internal/settings', '/internal/settings', 403, { token: customer }],
    ['PATCH', '/internal/settings', '/internal/settings', 200, { token: admin, body: { sender_name: 'Described' } }],
    ['PATCH', '/internal/settings', '/internal/settings', 400, { token: admin, body: { sender_name: 'a <b>' } }],
    ['GET', '/internal/delivery', '/internal/delivery', 200, { token: admin }],
    ['POST', '/internal/delivery/handovers', '/internal/delivery/handovers', 201, { token: admin, body: handover }],
    ['POST', '/internal/delivery/handovers', '/internal/delivery/handovers', 409, { token: admin, body: handover }],
    ['POST', '/internal/delivery/handovers', '/internal/delivery/handovers', 400, { token: admin, body: {} }],
    ['POST', '/internal/delivery/handovers', '/internal/delivery/handovers', 403, { token: customer, body: handover }],
    ['GET', '/health/live', '/health/live', 200],
    ['GET', '/health/ready', '/health/ready', 200],
    ['GET', '/metrics', '/metrics', 200],
    ['GET', '/openapi.json', '/openapi.json', 200],
  ];
};

test('every operation is called, and answers what the document says', async () => {
  const called = new Set<string>();
  for (const [method, template, path, status, options] of calls()) {
    const answer = await service.send(method, path, options);
    const what = `${method} ${path}`;
    expect({ what, status: answer.status, text: answer.text }).toMatchObject({ what, status });
    called.add(`${method} ${template}`);

    const start = `/paths/${template.replaceAll('/', '~1')}/${method.toLowerCase()}/responses/${status}`;
    const { node: response, pointer } = at(start);
    expect({ what, described: response !== undefined }).toEqual({ what, described: true });
    for (const name of Object.keys((response?.headers ?? {}) as Node)) {
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
