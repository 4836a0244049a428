import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { migrateUp } from '../database.ts';
import { CopyError, type CopyProgress, copyCatalogue } from './copy-catalogue.ts';

let shop: FreshDatabase;
let own: FreshDatabase;
let source: Pool;
let target: Pool;

beforeAll(async () => {
  [shop, own] = await Promise.all([freshDatabase('copy_shop'), freshDatabase('copy_own')]);
  source = createPool(shop.url, { connectionLimit: 2 });
  target = createPool(own.url, { connectionLimit: 2 });
  await migrateUp(own.url, createLog({ name: 'test', level: 'silent' }));
  await makeShop(source);
});
afterAll(async () => {
  await source?.end();
  await target?.end();
  await shop?.drop();
  await own?.drop();
});
beforeEach(async () => {
  for (const table of ['categories', 'products', 'reviews']) await target.query(`TRUNCATE TABLE ${table}`);
});

const PRODUCTS = 1234;

/** As much of a shop's schema as is copied. */
async function makeShop(pool: Pool): Promise<void> {
  const table = (name: string, columns: string) =>
    pool.query(`CREATE TABLE ${name} (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, ${columns})
                ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci`);
  await table('accounts', 'display_name VARCHAR(100) NOT NULL, password_hash VARCHAR(255) NOT NULL');
  await table(
    'categories',
    'parent_id BIGINT UNSIGNED, name VARCHAR(100), slug VARCHAR(100), created_at DATETIME(3), updated_at DATETIME(3)',
  );
  await table(
    'products',
    `sku VARCHAR(64), name VARCHAR(200), description TEXT, category_id BIGINT UNSIGNED, price_cents INT UNSIGNED,
     currency CHAR(3), attributes JSON, active TINYINT(1), archived_at DATETIME(3), rating_sum INT UNSIGNED,
     rating_count INT UNSIGNED, rating_average DECIMAL(3,2), version INT UNSIGNED, created_at DATETIME(3),
     updated_at DATETIME(3)`,
  );
  await table(
    'reviews',
    'product_id BIGINT UNSIGNED, account_id BIGINT UNSIGNED, rating TINYINT, title VARCHAR(120), body TEXT, created_at DATETIME(3)',
  );
  const time = '2024-05-06 07:08:09.123';
  await pool.query('INSERT INTO accounts (id, display_name, password_hash) VALUES ?', [
    [
      [1, 'Ada \u{1f600}', 'x'],
      [2, 'Bjørn', 'x'],
    ],
  ]);
  await pool.query('INSERT INTO categories VALUES ?', [
    [
      [1, null, 'Root', 'root', time, time],
      [2, 1, 'Décor', 'decor', time, time],
    ],
  ]);
  const rows = Array.from({ length: PRODUCTS }, (_, at) => {
    const id = at * 3 + 1;
    const attributes = JSON.stringify({ zeta: id, alpha: `it's "${id}" \\ ünï`, n: id / 7, on: id % 2 === 0 });
    const archived = id % 100 === 0 ? time : null;
    return [
      ...[id, `S-${id}`, `Ñame ${id}`, 'line\nline \u{1f600}'.repeat(id % 5), 1 + (id % 2), id, 'EUR', attributes],
      ...[
        id % 7 ? 1 : 0,
        archived,
        9,
        2,
        4.5,
        id % 9,
        `2024-01-01 00:00:00.${String(id % 1000).padStart(3, '0')}`,
        time,
      ],
    ];
  });
  await pool.query('INSERT INTO products VALUES ?', [rows]);
  const reviews = Array.from({ length: 700 }, (_, at) => [
    at + 1,
    1 + 3 * Math.floor(at / 2),
    1 + (at % 2),
    4,
    't',
    "b'\\",
    time,
  ]);
  await pool.query('INSERT INTO reviews VALUES ?', [reviews]);
  // The newest row is gone: its id must not come back.
  await pool.query('DELETE FROM reviews WHERE id = 700');
}

const urls = () => ({ sourceUrl: shop.url, targetUrl: own.url });

async function rows(pool: Pool, sql: string): Promise<RowDataPacket[]> {
  const [found] = await pool.query<RowDataPacket[]>(sql);
  return found;
}

test('every row is copied, with its id, times, version and what it shows of others', async () => {
  const report = await copyCatalogue({ ...urls(), chunkRows: 100 });
  expect(report.tables.map(({ table, rows }) => [table, rows])).toEqual([
    ['categories', 2],
    ['products', PRODUCTS],
    ['reviews', 699],
  ]);
  const plain = 'id, sku, name, description, category_id, price_cents, currency, active, archived_at';
  const more = 'rating_sum, rating_count, rating_average, version, created_at, updated_at';
  const products = `SELECT ${plain}, ${more} FROM products ORDER BY id`;
  expect(await rows(target, products)).toEqual(await rows(source, products));
  const shown = 'SELECT category_name, category_slug, attributes FROM products WHERE id = 4';
  const [product] = await rows(target, shown);
  expect(product).toMatchObject({ category_name: 'Root', category_slug: 'root' });
  expect(JSON.parse(product?.attributes)).toEqual({ zeta: 4, alpha: 'it\'s "4" \\ ünï', n: 4 / 7, on: true });
  const [review] = await rows(target, 'SELECT * FROM reviews WHERE id = 1');
  expect(review).toMatchObject({ author_id: 1, author_name: 'Ada \u{1f600}', body: "b'\\" });
});

test('an id that was given to a row that is gone is not given again', async () => {
  await copyCatalogue(urls());
  await target.query(
    "INSERT INTO reviews (product_id, author_id, author_name, rating, title, body, created_at) VALUES (1, 9, 'n', 1, 't', 'b', NOW())",
  );
  expect(await rows(target, 'SELECT MAX(id) AS id FROM reviews')).toEqual([{ id: 701 }]);
});

test('a target with rows is refused and left alone; with reset it is emptied first', async () => {
  await target.query(
    "INSERT INTO categories (id, name, slug, created_at, updated_at) VALUES (77, 'x', 'x', NOW(), NOW())",
  );
  const refused = copyCatalogue(urls());
  await expect(refused).rejects.toThrow(CopyError);
  await expect(refused).rejects.toThrow(/expected categories to be empty, found rows; with --reset/);
  expect(await rows(target, 'SELECT id FROM categories')).toEqual([{ id: 77 }]);
  const first = await copyCatalogue({ ...urls(), reset: true });
  const second = await copyCatalogue({ ...urls(), reset: true });
  expect(second.tables).toEqual(first.tables);
  expect(await rows(target, 'SELECT id FROM categories ORDER BY id')).toEqual([{ id: 1 }, { id: 2 }]);
});

test('what is written to the source meanwhile is not half in the copy', async () => {
  let changed = false;
  const progress: CopyProgress[] = [];
  const report = await copyCatalogue({
    ...urls(),
    chunkRows: 50,
    onProgress: (one) => {
      progress.push(one);
      if (changed || one.table !== 'products') return;
      changed = true;
      void source.query('UPDATE products SET price_cents = price_cents + 1, version = version + 1');
    },
  });
  expect(report.tables[1]?.rows).toBe(PRODUCTS);
  const [sums] = await rows(target, 'SELECT SUM(price_cents - id) AS raised FROM products');
  expect(Number(sums?.raised)).toBe(0);
  expect(progress.filter(({ table, step }) => table === 'products' && step === 'copy').at(-1)).toMatchObject({
    done: PRODUCTS,
    total: PRODUCTS,
  });
  await source.query('UPDATE products SET price_cents = id');
});

test('somebody else who writes to the target is found out', async () => {
  let meddled: Promise<unknown> | undefined;
  const copying = copyCatalogue({
    ...urls(),
    chunkRows: 50,
    onProgress: ({ table, step }) => {
      if (table === 'products' && step === 'verify')
        meddled ??= target.query('UPDATE products SET price_cents = 0 WHERE id > 3000');
    },
  });
  await expect(copying).rejects.toThrow(
    /products: expected 1234 rows with checksum .* see that nothing else writes there/,
  );
  await meddled;
});

test('rows without what they refer to are named, not dropped', async () => {
  await source.query("INSERT INTO reviews VALUES (5000, 1, 999, 5, 't', 'b', NOW())");
  await expect(copyCatalogue(urls())).rejects.toThrow(/reviews: expected every row .* found 1 without/);
  await source.query('DELETE FROM reviews WHERE id = 5000');
});

test('a target without tables is told what to run', async () => {
  const empty = await freshDatabase('copy_empty');
  await expect(copyCatalogue({ sourceUrl: shop.url, targetUrl: empty.url })).rejects.toThrow(/migrate\.ts up first/);
  await empty.drop();
});

test('the command prints what it did and tells what is wrong', async () => {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));
  const run = (...args: string[]) =>
    new Promise<{ code: number | null; text: string }>((resolve) => {
      const child = spawn(process.execPath, [main, ...args], { env: { PATH: process.env.PATH } });
      let text = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
      }
      child.once('close', (code) => resolve({ code, text }));
    });
  const both = ['--source', shop.url, '--target', own.url];
  const copied = await run(...both);
  expect(copied.text).toMatch(/products +1234 rows +[0-9a-f]{16} +the same on both sides/);
  expect(copied.code).toBe(0);
  expect(await run(...both)).toMatchObject({ code: 1, text: expect.stringContaining('--reset') });
  expect(await run()).toMatchObject({ code: 2, text: expect.stringContaining('usage:') });
});
