import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createGrpcClient, type GrpcClient } from '@strangler/platform/grpc/client.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { seedManyProducts, startTestCatalog, type TestCatalog } from '../testing/catalog.ts';
import type { ProductMessage } from './product-message.ts';
import { catalogPackageName, catalogProtoPath, MOST_IDS } from './server.ts';

const MANY = 3000;

let catalog: TestCatalog;
let client: GrpcClient;
beforeAll(async () => {
  catalog = await startTestCatalog('grpc', {}, { seed: (pool) => seedManyProducts(pool, MANY) });
  client = createGrpcClient({
    address: catalog.grpc.address,
    protoPath: catalogProtoPath,
    packageName: catalogPackageName,
    serviceName: 'Catalog',
    deadlineMs: 20_000,
  });
});
afterAll(async () => {
  client?.close();
  await catalog?.stop();
});

type Shown = { attributes: Record<string, unknown> } & Record<string, unknown>;

/** A message as the REST API would show it. */
function shown({ attributes, etag: _etag, ...message }: ProductMessage): Shown {
  const named = attributes.map((attribute) => {
    const { name, value } = attribute as unknown as { name: string; value: string };
    return [name, (attribute as unknown as Record<string, unknown>)[value]];
  });
  return { ...message, attributes: Object.fromEntries(named) };
}

describe('GetProduct', () => {
  test.each([1, 2, 11])('says of product %i the same as REST, its ETag included', async (id) => {
    const rest = await catalog.send('GET', `/api/products/${id}`);
    const message = await client.call<ProductMessage>('GetProduct', { id });
    expect(shown(message)).toEqual(rest.body);
    expect(message.etag).toBe(rest.headers.get('etag'));
  });

  test('sees a write at once', async () => {
    const token = await catalog.issuer.token(1, 'admin');
    await client.call('GetProduct', { id: 3 });
    await catalog.send('PATCH', '/api/products/3', { token, headers: { 'if-match': '*' }, body: { price_cents: 77 } });
    expect((await client.call<ProductMessage>('GetProduct', { id: 3 })).price_cents).toBe(77);
  });

  test.each([
    [999_999, 'NOT_FOUND', 'There is no product 999999'],
    [12, 'NOT_FOUND', 'There is no product 12'],
    [0, 'INVALID_ARGUMENT', 'id: expected an integer of at least 1, found 0'],
    [-1, 'INVALID_ARGUMENT', 'id: expected an integer of at least 1, found -1'],
  ])('of id %i ends with %s', async (id, statusName, details) => {
    await expect(client.call('GetProduct', { id })).rejects.toMatchObject({ statusName, details });
  });
});

describe('BatchGetProducts', () => {
  type Batch = { products: ProductMessage[]; missing_ids: number[] };

  test('gives products in the order of the ids, each once, and names what there is not', async () => {
    const batch = await client.call<Batch>('BatchGetProducts', { ids: [5, 1, 12, 5, 999_999, 2] });
    expect(batch.products.map(({ id }) => id)).toEqual([5, 1, 2]);
    expect(batch.missing_ids).toEqual([12, 999_999]);
    const rest = await catalog.send('GET', '/api/products/5');
    expect(shown(batch.products[0]!)).toEqual(rest.body);
  });

  test.each([[[]], [Array.from({ length: MOST_IDS + 1 }, (_, at) => at + 1)], [[1, 0]]])('refuses %j', async (ids) => {
    await expect(client.call('BatchGetProducts', { ids })).rejects.toMatchObject({ statusName: 'INVALID_ARGUMENT' });
  });
});

describe('StreamProducts', () => {
  const all = async (filter: object): Promise<number[]> => {
    const ids: number[] = [];
    for await (const { id } of client.stream<ProductMessage>('StreamProducts', filter)) ids.push(id);
    return ids;
  };

  test('gives every listed product once, by id', async () => {
    const ids = await all({});
    expect(ids).toHaveLength(MANY + 10);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    expect(ids).not.toContain(11);
  });

  test.each([
    [{ category: 'garden' }, '/api/products?category=garden&limit=100'],
    [{ min_price_cents: 300, max_price_cents: 800 }, '/api/products?min_price_cents=300&max_price_cents=800&limit=100'],
    [{ min_rating: 3.5, category: 'garden' }, '/api/products?min_rating=3.5&category=garden&limit=100'],
    [{ q: 'thing a' }, '/api/products?q=thing%20a&limit=100'],
    [{ category: 'no-such' }, '/api/products?category=no-such'],
    [{ max_price_cents: 0 }, '/api/products?max_price_cents=0'],
  ])('takes the filter %j as REST does', async (filter, path) => {
    const page = (await catalog.send('GET', path)).body as { items: { id: number }[]; next_cursor: null };
    expect(page.next_cursor).toBeNull();
    expect(await all(filter)).toEqual(page.items.map(({ id }) => id).sort((a, b) => a - b));
  });

  test.each([[{ min_rating: 7 }], [{ category: 'No Slug' }], [{ min_price_cents: -1 }], [{ q: 'a b c d e f g h i' }]])(
    'refuses the filter %j',
    async (filter) => {
      await expect(all(filter)).rejects.toMatchObject({ statusName: 'INVALID_ARGUMENT' });
    },
  );

  test('reads no further than a slow client has taken', async () => {
    let statements = 0;
    const { pool } = catalog;
    const original = pool.query.bind(pool) as (...all: unknown[]) => unknown;
    Object.assign(pool, {
      query: (...all: unknown[]) => {
        if (String(all[0]).includes('ORDER BY id LIMIT')) statements += 1;
        return original(...all);
      },
    });
    try {
      const stream = client.stream<ProductMessage>('StreamProducts', {})[Symbol.asyncIterator]();
      await stream.next();
      // Nothing more is taken: what the server sends fills the buffers on the way, and then it waits.
      let seen = -1;
      await eventually(async () => {
        const before = seen;
        seen = statements;
        await new Promise((resolve) => setTimeout(resolve, 100));
        expect(statements).toBe(before);
      });
      expect(statements).toBeLessThan(Math.ceil((MANY + 10) / 200));
      await stream.return?.();
      await eventually(() => expect(catalog.grpc.inFlight()).toBe(0));
    } finally {
      Object.assign(pool, { query: original });
    }
  });
});
