import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { differences } from './compare.ts';
import { type Answer, type RequestSpec, type Side, sideAt } from './exchange.ts';
import { type ParityPair, startParityPair } from './pair.ts';
import { compareSides } from './scenario.ts';
import { authorizationScenarios } from './scenarios/authorization.ts';
import { categoryWriteScenarios } from './scenarios/category-writes.ts';
import { productWriteScenarios } from './scenarios/product-writes.ts';
import { readScenarios, traceScenario } from './scenarios/reads.ts';
import { reviewWriteScenarios } from './scenarios/review-writes.ts';

let pair: ParityPair;
let monolith: Side;
let catalog: Side;

beforeAll(async () => {
  pair = await startParityPair('parity');
  monolith = sideAt('monolith', pair.monolith.url);
  catalog = sideAt('catalog', pair.catalog.url);
}, 300_000);
afterAll(async () => {
  monolith?.close();
  catalog?.close();
  await pair?.stop();
});

const everything = [
  ...readScenarios,
  ...authorizationScenarios,
  ...productWriteScenarios,
  ...categoryWriteScenarios,
  ...reviewWriteScenarios,
];

test('there are enough scenarios, each with a name of its own', () => {
  expect(new Set(everything.map(({ name }) => name)).size).toBe(everything.length);
  expect(everything.length).toBeGreaterThanOrEqual(60);
});

describe('reads are answered alike, from the database and then from the cache', () => {
  test.each([...readScenarios, traceScenario].map((scenario) => [scenario.name, scenario] as const))(
    '%s',
    async (_name, scenario) => {
      for (const _round of ['database', 'cache']) {
        const { requests } = await compareSides([monolith, catalog], scenario, pair.tokens);
        expect(requests).toBeGreaterThan(0);
      }
    },
  );
});

describe('writes without the right to them are answered alike', () => {
  test.each(authorizationScenarios.map((scenario) => [scenario.name, scenario] as const))(
    '%s',
    async (_name, scenario) => {
      await compareSides([monolith, catalog], scenario, pair.tokens);
    },
  );
});

describe('writes are answered alike, and so is what is read after them', () => {
  beforeEach(() => pair.data.restore());

  test.each(
    [...productWriteScenarios, ...categoryWriteScenarios, ...reviewWriteScenarios].map(
      (scenario) => [scenario.name, scenario] as const,
    ),
  )('%s', async (_name, scenario) => {
    await compareSides([monolith, catalog], scenario, pair.tokens);
  });
});

describe('a cursor of one side goes on where it stopped on the other', () => {
  beforeAll(() => pair.data.restore());

  const pageAfter = async (side: Side, path: string, page: Answer): Promise<Answer> => {
    const { next_cursor: cursor } = page.json as { next_cursor: string };
    return side.send({ path: `${path}&cursor=${cursor}` });
  };

  test.each([
    ...['name', '-name', 'price', '-price', 'rating', 'newest'].map((sort) => `/api/products?sort=${sort}&limit=13`),
    '/api/products?category=kitchen&min_price_cents=1&limit=1',
    '/api/products/1/reviews?limit=1',
  ])('%s', async (path) => {
    const [first, other] = [await monolith.send({ path }), await catalog.send({ path })];
    const [there, here] = [await pageAfter(catalog, path, first), await pageAfter(monolith, path, other)];
    expect([there.status, here.status]).toEqual([200, 200]);
    expect(differences(['catalog, cursor of the monolith', there], ['monolith, cursor of the catalog', here])).toEqual(
      [],
    );
  });
});

test('a difference is found and told readably', () => {
  const answer = (body: unknown, headers: [string, string][] = []): Answer => ({
    status: 200,
    headers,
    text: JSON.stringify(body),
    json: body,
  });
  const left = answer({ items: [{ id: 1, price_cents: 5 }] }, [['etag', '"a"']]);
  const right = answer({ items: [{ id: 1, price_cents: 6 }] }, [['etag', '"b"']]);
  expect(differences(['left', left], ['right', right])).toEqual([
    'header etag\n    left: "a"\n    right: "b"',
    'body $.items[0].price_cents\n    left: 5\n    right: 6',
  ]);
  expect(differences(['left', answer({ a: 1, b: 2 })], ['right', answer({ b: 2, a: 1 })])).toHaveLength(1);
});

test('what is answered is what was asked for, on both sides', async () => {
  const request: RequestSpec = { path: '/api/products/1', headers: { 'x-request-id': 'parity-1' } };
  for (const side of [monolith, catalog]) {
    const { headers } = await side.send(request);
    expect(headers).toContainEqual(['x-request-id', 'parity-1']);
  }
});
