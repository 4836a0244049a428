import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { migrateUp } from '@strangler/catalog/database.ts';
import { type Applier, createApplier } from '@strangler/migrations/engine/apply/applier.ts';
import { installTargetTables } from '@strangler/migrations/engine/apply/own-tables.ts';
import { createPump, type Pump } from '@strangler/migrations/engine/apply/pipe.fixture.ts';
import type { MappedTable } from '@strangler/migrations/engine/apply/row-shape.ts';
import { planCapture } from '@strangler/migrations/engine/capture/capture-plan.ts';
import { installCapture } from '@strangler/migrations/engine/capture/install-capture.ts';
import type { PipeDatabases } from '@strangler/migrations/engine/pipe/open-databases.ts';
import { reverseTables } from '@strangler/migrations/engine/pipe/reverse-tables.ts';
import { type VerifyEvent, verifyTable } from '@strangler/migrations/engine/verify/verify.ts';
import { seed } from '@strangler/monolith/seed/seed.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool, dialectOf } from '@strangler/platform/mysql/pool.ts';
import { installOutbox } from '@strangler/platform/outbox/schema.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { copyTables, openCatalogPipe } from './fill-catalogue.ts';

const log = createLog({ name: 'test', level: 'silent' });

let shop: FreshDatabase;
let own: FreshDatabase;
let pipe: PipeDatabases;
let tables: MappedTable[];
let source: Pool;
let target: Pool;
let applier: Applier;
let pump: Pump;

beforeAll(async () => {
  [shop, own] = await Promise.all([freshDatabase('slice_shop'), freshDatabase('slice_cat')]);
  await Promise.all([seed({ url: shop.url, size: 60, seed: 7, log }), migrateUp(own.url, log)]);
  pipe = await openCatalogPipe({ sourceUrl: shop.url, targetUrl: own.url });
  source = createPool(shop.url, { connectionLimit: 4 });
  target = createPool(own.url, { connectionLimit: 4 });
}, 180_000);
afterAll(async () => {
  await pipe?.close();
  for (const pool of [source, target]) await pool?.end();
  for (const database of [shop, own]) await database?.drop();
});

async function rows(pool: Pool, sql: string): Promise<RowDataPacket[]> {
  const [found] = await pool.query<RowDataPacket[]>(sql);
  return found;
}

/** As the shop shows them, and as the catalogue does: what a table-by-table comparison does not see. */
const shown = {
  products: [
    `SELECT p.id, c.name, c.slug, p.rating_average, p.attributes FROM products p JOIN categories c ON c.id = p.category_id ORDER BY p.id`,
    `SELECT id, category_name AS name, category_slug AS slug, rating_average, attributes FROM products ORDER BY id`,
  ],
  reviews: [
    `SELECT r.id, a.display_name FROM reviews r JOIN accounts a ON a.id = r.account_id ORDER BY r.id`,
    `SELECT r.id, a.display_name FROM reviews r LEFT JOIN authors a ON a.id = r.author_id ORDER BY r.id`,
  ],
} as const;

async function expectEqual(): Promise<void> {
  for (const table of tables) {
    let last: VerifyEvent | undefined;
    for await (const event of verifyTable({ table, source: pipe.source.read, target: pipe.target.read })) last = event;
    expect(last).toMatchObject({ kind: 'done', complete: true, differences: 0, unsettled: 0 });
  }
  for (const [inShop, inCatalogue] of Object.values(shown)) {
    const wanted = await rows(source, inShop);
    expect(wanted.length).toBeGreaterThan(0);
    expect(await rows(target, inCatalogue)).toEqual(wanted);
  }
}

test('nothing stands in the way of moving the catalogue’s tables', async () => {
  const { findings, tables: mapped } = await pipe.preflight();
  expect(findings.filter(({ level }) => level === 'refuse')).toEqual([]);
  expect(mapped.map(({ mapping }) => [mapping.source, mapping.target])).toEqual([
    ['categories', 'categories'],
    ['products', 'products'],
    ['reviews', 'reviews'],
    ['accounts', 'authors'],
  ]);
});

test('of accounts nothing but ids and names leaves the shop', async () => {
  const { tables: mapped } = await pipe.preflight();
  expect(mapped.find(({ mapping }) => mapping.source === 'accounts')?.mapping.captured).toEqual(['id', 'display_name']);
});

test('whatever of the shop’s rows the catalogue may change comes back, what it computes from others too', async () => {
  const moving = (await pipe.tables()).filter(({ mapping }) => mapping.source !== 'accounts');
  const { findings, tables: back } = reverseTables('catalog', moving);
  expect(findings).toEqual([]);
  const given = back.map(({ mapping, target: table }) => table.columns.length - mapping.columns.length);
  expect(given).toEqual([0, 0, 0]);
});

describe('a catalogue that the pipe fills and keeps in step', () => {
  beforeAll(async () => {
    tables = await pipe.tables();
    await installTargetTables(pipe.target.apply);
    // Of the shop's own schema where that has one.
    await installOutbox(pipe.source.write);
    const dialect = await dialectOf(source);
    await installCapture(pipe.source.write, {
      slice: 'catalog',
      database: shop.name,
      epoch: 1,
      plans: tables.map(({ mapping, source: table }) =>
        planCapture({ slice: 'catalog', source: table, dialect, captured: mapping.captured }),
      ),
    });
    applier = createApplier({ pool: pipe.target.apply, tables, log });
    pump = createPump(source, applier);
  });

  test('has every row, in whatever order tables are copied', async () => {
    await copyTables(pipe, tables.toReversed(), log);
    await expectEqual();
  });

  test('follows new names of accounts and categories, moves, prices, ratings and deletes', async () => {
    await source.query("UPDATE accounts SET display_name = CONCAT(display_name, ' née Ø') WHERE id IN (2, 3)");
    await source.query("UPDATE accounts SET password_hash = 'changed'");
    await source.query("UPDATE categories SET name = CONCAT(name, ' & more'), updated_at = NOW(3)");
    await source.query('UPDATE products SET price_cents = price_cents + 1, version = version + 1 WHERE id % 2 = 0');
    await source.query('UPDATE products SET category_id = (SELECT MAX(id) FROM categories) WHERE id % 3 = 0');
    await source.query('UPDATE products SET rating_sum = 5, rating_count = 3, rating_average = 1.67 WHERE id = 1');
    await source.query('DELETE FROM reviews WHERE id % 4 = 0');
    await pump.empty();
    await expectEqual();
  });

  test('takes rows that refer to each other in any order', async () => {
    await source.query(
      "INSERT INTO accounts (email, display_name, password_hash, created_at, updated_at) VALUES ('n@x', 'New one', '', NOW(), NOW())",
    );
    await source.query(
      "INSERT INTO categories (name, slug, created_at, updated_at) VALUES ('New', 'new', NOW(), NOW())",
    );
    await source.query(
      `INSERT INTO products (sku, name, description, category_id, price_cents, currency, attributes, created_at, updated_at)
       SELECT CONCAT('NEW-', id), 'n', 'd', (SELECT MAX(id) FROM categories), 1, 'EUR', '{"b": 1, "a": "ü"}', NOW(3), NOW(3) FROM categories`,
    );
    await source.query(
      `INSERT INTO reviews (product_id, account_id, rating, title, body, created_at)
       SELECT id, (SELECT MAX(id) FROM accounts), 5, 't', 'b', NOW(3) FROM products WHERE sku LIKE 'NEW-%'`,
    );
    await pump.empty();
    await expectEqual();
    expect(pump.totals()).toMatchObject({ refused: 0 });
  });

  test('keeps SKUs and slugs that rows have swapped, with the names that go with them', async () => {
    await source.query("UPDATE products SET sku = 'SWAP' WHERE id = 1");
    await source.query("UPDATE products AS p JOIN (SELECT 2 AS id) AS o USING (id) SET p.sku = 'SWAP-2'");
    await source.query("UPDATE products SET sku = 'SWAP-1' WHERE id = 1");
    await source.query("UPDATE products SET sku = 'SWAP', category_id = 1 WHERE id = 2");
    await source.query("UPDATE products SET sku = 'SWAP-2', category_id = 2 WHERE id = 1");
    const swap = (from: string, to: string) =>
      source.query('UPDATE categories SET slug = ? WHERE slug = ?', [to, from]);
    const [one, two] = (await rows(source, 'SELECT slug FROM categories ORDER BY id LIMIT 2')).map(({ slug }) => slug);
    await swap(one, 'swapping');
    await swap(two, one);
    await swap('swapping', two);
    await pump.empty();
    await expectEqual();
    expect(await rows(target, 'SELECT * FROM strangler_parked')).toEqual([]);
  });
});
