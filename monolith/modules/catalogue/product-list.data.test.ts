import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { countStatements } from '@strangler/platform/mysql/sequelize.ts';
import { startTestShop, type TestAccount, type TestShop } from '../../testing/shop.ts';

type Item = { id: number; name: string; price_cents: number; created_at: string; rating: { average: number } };

let shop: TestShop;
let admin: TestAccount;
let serial = 0;
const categories: Record<string, number> = {};

const add = async (name: string, change: Record<string, unknown> = {}): Promise<number> => {
  const { body, status } = await admin.client.post('/api/products', {
    sku: `LIST-${++serial}`,
    name,
    category_id: categories.other,
    price_cents: 1000,
    ...change,
  });
  expect(status).toBe(201);
  return body.id;
};

const names = async (query: string): Promise<string[]> =>
  (await shop.client.get(`/api/products?${query}`)).body.items.map((item: Item) => item.name);

/** All pages of a list, and how many there were. */
const allPages = async (query: string, limit: number): Promise<Item[]> => {
  const items: Item[] = [];
  for (let cursor = ''; ; ) {
    const { body, status } = await shop.client.get(`/api/products?${query}&limit=${limit}${cursor}`);
    expect(status).toBe(200);
    items.push(...body.items);
    if (body.next_cursor === null) return items;
    cursor = `&cursor=${body.next_cursor}`;
  }
};

beforeAll(async () => {
  shop = await startTestShop('product_list');
  admin = await shop.account('admin');
  const category = async (slug: string, parent?: string) => {
    const parentId = parent === undefined ? null : categories[parent];
    const { body } = await admin.client.post('/api/categories', { name: slug, slug, parent_id: parentId });
    categories[slug] = body.id;
  };
  for (const [slug, parent] of [
    ['other'],
    ['garden'],
    ['tools', 'garden'],
    ['spades', 'tools'],
    ['bulk'],
    ['strange'],
  ] as const) {
    await category(slug, parent);
  }
});

afterAll(() => shop?.stop());

describe('searching', () => {
  beforeAll(async () => {
    await add('Café crème set', { category_id: categories.garden });
    await add('Cafeteria tray', { category_id: categories.garden });
    await add('Decaf maker', { category_id: categories.garden });
    await add('100% cotton towel', { category_id: categories.garden });
    await add('1000 needles', { category_id: categories.garden });
    await add('under_score', { category_id: categories.garden });
    await add('underXscore', { category_id: categories.garden, sku: 'FIND-ME.1' });
    await add('back\\slash', { category_id: categories.garden });
  });

  const find = (words: string) => names(`category=garden&sort=name&q=${encodeURIComponent(words)}`);

  test('a word finds the beginnings of words, whatever their case and accents', async () => {
    expect(await find('CAFE')).toEqual(['Café crème set', 'Cafeteria tray']);
    expect(await find('crem')).toEqual(['Café crème set']);
    expect(await find('afe')).toEqual([]);
  });

  test('every word must be found, in any order', async () => {
    expect(await find(' set   café ')).toEqual(['Café crème set']);
    expect(await find('set tray')).toEqual([]);
  });

  test('marks that mean something to LIKE mean themselves', async () => {
    expect(await find('100%')).toEqual(['100% cotton towel']);
    expect(await find('under_')).toEqual(['under_score']);
    expect(await find('back\\')).toEqual(['back\\slash']);
  });

  test('the beginning of a SKU is found too', async () => {
    expect(await find('find-me')).toEqual(['underXscore']);
  });

  test('no words are no condition', async () => {
    expect(await find('  ')).toHaveLength(8);
  });

  test('a quote is a letter like any other', async () => {
    expect(await find(`' OR 1=1 -- `)).toEqual([]);
  });
});

describe('filtering', () => {
  test('a category has the products of all categories beneath it', async () => {
    await add('Deep spade', { category_id: categories.spades });
    expect(await names('category=spades')).toEqual(['Deep spade']);
    expect(await names('category=tools')).toEqual(['Deep spade']);
    expect(await names('category=garden&q=deep')).toEqual(['Deep spade']);
    expect(await names('category=no-such')).toEqual([]);
  });

  test('bounds of price are inclusive', async () => {
    await add('Priced', { price_cents: 777_000 });
    expect(await names('min_price_cents=777000&max_price_cents=777000')).toEqual(['Priced']);
    expect(await names('min_price_cents=777001')).toEqual([]);
  });

  test('the least rating is inclusive, to two decimals', async () => {
    const id = await add('Rated');
    for (const rating of [4, 4, 5]) {
      const { client } = await shop.account('customer');
      await client.post(`/api/products/${id}/reviews`, { rating, title: 'Good', body: 'It is.' });
    }
    expect(await names('min_rating=4.33')).toEqual(['Rated']);
    expect(await names('min_rating=4.34')).toEqual([]);
  });

  test.each([
    ['limit=0', 'limit'],
    ['limit=101', 'limit'],
    ['limit=ten', 'limit'],
    ['sort=colour', 'sort'],
    ['min_rating=5.1', 'min_rating'],
    ['min_price_cents=-1', 'min_price_cents'],
    ['colour=red', 'colour'],
    ['q=a&q=b', 'q'],
    ['cursor=nonsense', 'cursor'],
    ['category=No%20Slug', 'category'],
    [`q=${'w+'.repeat(1)}a+b+c+d+e+f+g+h+i`, 'q'],
  ])('%s is refused by name', async (query, path) => {
    const { status, body } = await shop.client.get(`/api/products?${query}`);
    expect(status).toBe(400);
    expect(body.errors).toMatchObject([{ in: 'query', path }]);
  });
});

describe('sorting and paging', () => {
  const compare: Record<string, (a: Item, b: Item) => number> = {
    price: (a, b) => a.price_cents - b.price_cents || a.id - b.id,
    '-price': (a, b) => b.price_cents - a.price_cents || b.id - a.id,
    rating: (a, b) => b.rating.average - a.rating.average || b.id - a.id,
    newest: (a, b) => Date.parse(b.created_at) - Date.parse(a.created_at) || b.id - a.id,
  };

  beforeAll(async () => {
    const now = shop.clock.now();
    const rows = Array.from({ length: 60 }, (_, at) => ({
      sku: `BULK-${at}`,
      name: ['apple', 'Äpfel', 'APPLE', 'banana', 'Zebra'][at % 5] ?? '',
      description: '',
      category_id: categories.bulk ?? 0,
      price_cents: 100 * (at % 7),
      currency: 'EUR',
      attributes: { at },
      active: true,
      rating_sum: (at % 4) * 10,
      rating_count: 10,
      rating_average: at % 4,
      created_at: new Date(now.getTime() - (at % 9) * 1000),
      updated_at: now,
    }));
    await shop.database.models.Product.bulkCreate(rows);
  });

  test.each(Object.keys(compare))('%s: pages of any size show every product once, in order', async (sort) => {
    const whole = (await shop.client.get(`/api/products?category=bulk&sort=${sort}&limit=100`)).body.items as Item[];
    expect(whole).toHaveLength(60);
    expect(whole.map((item) => item.id)).toEqual(whole.toSorted(compare[sort]).map((item) => item.id));
    for (const limit of [1, 7, 59, 60]) {
      expect(await allPages(`category=bulk&sort=${sort}`, limit)).toEqual(whole);
    }
  });

  test('names are sorted by their letters, not their case or accents, and backwards is the very reverse', async () => {
    const forward = await allPages('category=bulk&sort=name', 11);
    const backward = await allPages('category=bulk&sort=-name', 13);
    expect(forward).toHaveLength(60);
    expect(backward).toEqual(forward.toReversed());
    const order = ['Äpfel', 'apple', 'APPLE', 'banana', 'Zebra'];
    const apples = forward.slice(12, 36);
    expect(new Set(apples.map((item) => item.name))).toEqual(new Set(['apple', 'APPLE']));
    expect(apples.map((item) => item.id)).toEqual(apples.map((item) => item.id).toSorted((a, b) => a - b));
    expect(forward[0]?.name).toBe(order[0]);
    expect(forward.at(-1)?.name).toBe('Zebra');
  });

  test('what is added or removed between two pages neither repeats nor hides a product', async () => {
    const first = await shop.client.get('/api/products?category=bulk&sort=price&limit=30');
    const removed = first.body.items[3].id as number;
    await admin.client.delete(`/api/products/${removed}`, { headers: { 'if-match': '*' } });
    const added = await add('Very cheap', { category_id: categories.bulk, price_cents: 0 });
    const rest = await shop.client.get(
      `/api/products?category=bulk&sort=price&limit=100&cursor=${first.body.next_cursor}`,
    );
    const seen = [...first.body.items, ...rest.body.items].map((item: Item) => item.id);
    expect(new Set(seen).size).toBe(60);
    expect(seen).not.toContain(added);
  });

  test('a cursor is refused under another sort or filter, and not under another limit', async () => {
    const { body } = await shop.client.get('/api/products?category=bulk&sort=price&limit=5');
    const next = (query: string) => shop.client.get(`/api/products?${query}&cursor=${body.next_cursor}`);
    expect((await next('category=bulk&sort=price&limit=50')).status).toBe(200);
    for (const query of ['category=bulk&sort=-price', 'sort=price', 'category=bulk&sort=price&min_price_cents=1']) {
      const { status, body: problem } = await next(query);
      expect(status).toBe(400);
      expect(problem.errors).toMatchObject([{ in: 'query', path: 'cursor' }]);
    }
  });

  test('the longest and strangest names can be paged by', async () => {
    for (let at = 0; at < 2; at++) await add('\u0001'.repeat(199) + at, { category_id: categories.strange });
    for (let at = 0; at < 2; at++) await add('茶'.repeat(199) + at, { category_id: categories.strange });
    expect(await allPages('category=strange&sort=name', 1)).toHaveLength(4);
    expect(await allPages('category=strange&sort=-name', 1)).toHaveLength(4);
  });

  test('the list has an ETag that changes with any price in it', async () => {
    const path = '/api/products?category=bulk&sort=name&limit=5';
    const { headers, body } = await shop.client.get(path);
    const etag = headers.get('etag') ?? '';
    expect((await shop.client.get(path, { headers: { 'if-none-match': etag } })).status).toBe(304);
    const id = body.items[0].id;
    await shop.database.sequelize.query('UPDATE products SET price_cents = price_cents + 1 WHERE id = ?', {
      replacements: [id],
    });
    expect((await shop.client.get(path, { headers: { 'if-none-match': etag } })).status).toBe(200);
  });

  test('a page takes as many statements whether it has 1 product or 50', async () => {
    const count = async (limit: number) => {
      const { statements } = await countStatements(shop.database.sequelize, () =>
        shop.client.get(`/api/products?sort=name&limit=${limit}`),
      );
      return statements.length;
    };
    expect(await count(1)).toBe(1);
    expect(await count(50)).toBe(1);
  });
});
