import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openApiDocument as serviceDocument } from '@strangler/inventory/openapi.ts';
import { installFence } from '@strangler/inventory/testing/fence.ts';
import { openApiDocument as shopDocument } from '@strangler/monolith/openapi/document.ts';
import type { TestAccount } from '@strangler/monolith/testing/shop.ts';
import { type StockSides, startStockSides } from './stock.fixture.ts';

let sides: StockSides;
let admin: TestAccount;
let customer: TestAccount;
let stocked: number;
let bare: number;
let archived: number;

beforeAll(async () => {
  sides = await startStockSides('contract');
  [admin, customer] = [await sides.shop.account('admin'), await sides.shop.account('customer')];
  [stocked, bare, archived] = [await sides.product(5), await sides.product(0), await sides.product(3)];
  for (const side of [sides.monolith, sides.service]) {
    await side.query('UPDATE products SET archived_at = NOW() WHERE id = ?', [archived]);
    // Whatever the flags say, both write.
    await installFence(side);
  }
});
afterAll(() => sides?.stop());

type Answer = { status: number; headers: Record<string, string | null>; body: string };
type Sent = { method: string; path: string; token?: string; headers?: Record<string, string>; body?: string };

const compared = ['content-type', 'etag', 'cache-control', 'www-authenticate', 'allow', 'retry-after', 'last-modified'];
const time = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g;

async function ask(origin: string, { method, path, token, headers = {}, body }: Sent): Promise<Answer> {
  const answer = await fetch(`${origin}${path}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body }),
  });
  return {
    status: answer.status,
    headers: Object.fromEntries(compared.map((name) => [name, answer.headers.get(name)])),
    body: await answer.text(),
  };
}

/** Asks both sides; what they answer is the same but for the time at which each writes, and the tags made of it. */
async function both(sent: Sent): Promise<[monolith: Answer, service: Answer]> {
  const answers: [Answer, Answer] = [await ask(sides.shop.url, sent), await ask(sides.inventory.server.url, sent)];
  const [monolith, service] = answers.map(({ status, headers, body }) => {
    const etag = sent.method === 'POST' ? headers.etag?.replace(/-[0-9a-f]{32}"$/, '-"') : headers.etag;
    const instance = /"instance":"[^"]*",?/g;
    const written = sent.method === 'POST' ? body.replace(time, 'time') : body;
    return { sent, status, headers: { ...headers, etag }, body: written.replace(instance, '') };
  });
  expect(service).toEqual(monolith);
  return answers;
}

/** As the pipe does it: the times of one side are those of the other. */
async function sameTimes(): Promise<void> {
  for (const side of [sides.monolith, sides.service]) {
    await side.query("UPDATE stock_levels SET updated_at = '2026-01-02 03:04:05.678'");
    await side.query("UPDATE stock_adjustments SET created_at = '2026-01-02 03:04:05.678'");
  }
}

const path = (id: number | string) => `/api/inventory/${id}`;
const many = (id: number | string, query = '') => `${path(id)}/adjustments${query}`;
const post = (id: number | string, body: unknown, more: Partial<Sent> = {}): Sent => ({
  method: 'POST',
  path: many(id),
  token: admin.token,
  body: typeof body === 'string' ? body : JSON.stringify(body),
  ...more,
});

describe('the shop and the service', () => {
  test('describe the same operations', () => {
    const operations = ({ paths = {} }: { paths?: object }) =>
      Object.fromEntries(Object.entries(paths).filter(([at]) => at.startsWith('/api/inventory')));
    expect(operations(serviceDocument())).toEqual(operations(shopDocument()));
    const [own, shops] = [serviceDocument().components, shopDocument().components];
    for (const kind of ['schemas', 'responses', 'parameters', 'headers'] as const) {
      for (const [name, described] of Object.entries(own?.[kind] ?? {})) {
        expect({ name, described }).toEqual({ name, described: shops?.[kind]?.[name] });
      }
    }
  });

  test('answer reads alike, byte for byte', async () => {
    await sameTimes();
    for (const id of [stocked, bare, archived, 99_999, 'x', '0', '-1', '1.0', '9999999999999999999']) {
      const [{ headers }] = await both({ method: 'GET', path: path(id) });
      const tags = { 'if-none-match': headers.etag ?? '*' };
      await both({ method: 'GET', path: path(id), headers: tags });
      await both({ method: 'HEAD', path: path(id) });
      await both({ method: 'GET', path: many(id), token: admin.token });
    }
    for (const query of [
      '?limit=0',
      '?limit=x',
      '?limit=1&limit=2',
      '?limit=101',
      '?more=1',
      '?cursor=x',
      '?cursor=',
    ]) {
      await both({ method: 'GET', path: many(stocked, query), token: admin.token });
    }
    await both({ method: 'OPTIONS', path: many(stocked) });
    await both({ method: 'DELETE', path: path(stocked) });
    await both({ method: 'GET', path: `${path(stocked)}?more=1` });
    await both({ method: 'GET', path: `${path(stocked)}/` });
  });

  test('let the same accounts in, and refuse the others alike', async () => {
    for (const token of [undefined, customer.token, `${admin.token}x`, 'nonsense']) {
      await both({ method: 'GET', path: many(stocked), ...(token === undefined ? {} : { token }) });
      const { token: _own, ...sent } = post(stocked, { delta: 1, reason: 'r' });
      await both(token === undefined ? sent : { ...sent, token });
    }
    await both(post(stocked, { delta: 1, reason: 'r' }, { headers: { authorization: 'Basic eDp5' } }));
  });

  test('refuse what is not valid in the same words', async () => {
    const bodies = [
      ...['', '{', '[]', 'null', '"x"', '{}', `"${'x'.repeat(102_400)}"`],
      ...[{ delta: 0, reason: ' ' }, { delta: 1.5, reason: 'r' }, { delta: 1_000_001, reason: 'r' }, { delta: '1' }],
      ...[
        { delta: 1, reason: 'r'.repeat(201) },
        { delta: 1, reason: 'a\u0000b' },
        { delta: 1, reason: 'r', more: 1 },
      ],
    ];
    for (const body of bodies) await both(post(stocked, body));
    await both(post('x', { delta: 1, reason: 'r' }));
    await both(post(stocked, 'delta=1', { headers: { 'content-type': 'application/x-www-form-urlencoded' } }));
    await both({ method: 'POST', path: many(stocked), token: admin.token });
  });

  test('adjust alike, refuse alike, and have the same afterwards', async () => {
    await sameTimes();
    for (const id of [stocked, bare, archived, 99_999]) {
      await both(post(id, { delta: -6, reason: 'counted' }));
      await both(post(id, { delta: 4, reason: '  many   words ' }));
      await both(post(id, { delta: 1_000_000, reason: 'r' }, { headers: { 'if-match': '"1-x"' } }));
      await both(post(id, { delta: -1, reason: 'r' }, { headers: { 'if-match': '*' } }));
      await sameTimes();
      const [{ headers }] = await both({ method: 'GET', path: path(id) });
      const seen = { headers: { 'if-match': headers.etag ?? '"none"' } };
      await both(post(id, { delta: 2, reason: 'seen' }, seen));
      await both(post(id, { delta: 2, reason: 'stale' }, seen));
      await sameTimes();
      const [{ body }] = await both({ method: 'GET', path: many(id, '?limit=2'), token: admin.token });
      const cursor = (JSON.parse(body) as { next_cursor?: string | null }).next_cursor;
      await both({ method: 'GET', path: many(id, `?limit=2&cursor=${cursor}`), token: admin.token });
      await both({
        method: 'GET',
        path: many(stocked === id ? bare : stocked, `?cursor=${cursor}`),
        token: admin.token,
      });
    }
  });
});
