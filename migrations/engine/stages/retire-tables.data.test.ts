import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { TableBusyError } from '../capture/lock-table.ts';
import { rowsOf } from '../schema/queryable.ts';
import { NothingRetired, retireTables, reviveTables } from './retire-tables.ts';

let database: FreshDatabase;
let pool: Pool;
const tables = ['products', 'reviews'];
const slice = () => ({ slice: 'catalog', database: database.name, tables });

beforeAll(async () => {
  database = await freshDatabase('retire');
  pool = createPool(database.url, { connectionLimit: 4 });
  for (const sql of [
    'CREATE TABLE accounts (id INT PRIMARY KEY)',
    'CREATE TABLE products (id INT PRIMARY KEY, parent_id INT NULL, CONSTRAINT parent FOREIGN KEY (parent_id) REFERENCES products (id))',
    `CREATE TABLE reviews (id INT PRIMARY KEY, product_id INT NOT NULL, account_id INT NOT NULL,
       CONSTRAINT of_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE,
       CONSTRAINT of_account FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE CASCADE)`,
    `CREATE TABLE cart_items (id INT PRIMARY KEY, product_id INT NOT NULL,
       CONSTRAINT in_cart FOREIGN KEY (product_id) REFERENCES products (id) ON UPDATE CASCADE)`,
    'INSERT INTO accounts VALUES (1)',
    'INSERT INTO products VALUES (1, NULL), (2, 1)',
    'INSERT INTO reviews VALUES (1, 1, 1)',
    'INSERT INTO cart_items VALUES (1, 2)',
  ]) {
    await pool.query(sql);
  }
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

/** All that the database says of its tables, and their rows. */
async function everything(): Promise<unknown> {
  const names = (await rowsOf<Record<string, string>>(pool, 'SHOW TABLES')).flatMap(Object.values).sort();
  const told: unknown[] = [];
  for (const name of names) {
    const [made] = await rowsOf<Record<string, string>>(pool, `SHOW CREATE TABLE \`${name}\``);
    told.push([made?.['Create Table'], await rowsOf(pool, `SELECT * FROM \`${name}\` ORDER BY 1`)]);
  }
  return told;
}

test('a table in use is left under its name, and who has to end is said', async () => {
  const user = await pool.getConnection();
  await user.query('START TRANSACTION');
  await user.query('SELECT * FROM reviews');
  await expect(retireTables(pool, slice(), { tries: 1 })).rejects.toBeInstanceOf(TableBusyError);
  expect(await rowsOf(pool, "SHOW TABLES LIKE 'products'")).toHaveLength(1);
  await user.query('ROLLBACK');
  user.release();
});

test('tables are retired with the keys between them and the others, and come back as they were, begun again or not', async () => {
  await reviveTables(pool, slice());
  const before = await everything();

  const { renamed } = await retireTables(pool, slice());
  expect(renamed).toEqual([
    { table: 'products', to: 'strangler_old_products' },
    { table: 'reviews', to: 'strangler_old_reviews' },
  ]);
  await expect(pool.query('INSERT INTO products VALUES (3, NULL)')).rejects.toMatchObject({ errno: 1146 });
  await expect(pool.query('SELECT 1 FROM reviews')).rejects.toMatchObject({ errno: 1146 });
  // Nothing holds the others back any more, and the kept tables keep theirs among each other.
  await pool.query('INSERT INTO cart_items VALUES (2, 77)');
  await pool.query('DELETE FROM cart_items WHERE id = 2');
  await expect(pool.query('INSERT INTO strangler_old_reviews VALUES (9, 77, 1)')).rejects.toMatchObject({
    errno: 1452,
  });
  expect(await retireTables(pool, slice())).toEqual({ renamed: [], droppedKeys: [] });

  await reviveTables(pool, slice());
  expect(await everything()).toEqual(before);
  expect(await reviveTables(pool, slice())).toEqual({ renamed: [], droppedKeys: [] });
  expect(await everything()).toEqual(before);
  await expect(pool.query('INSERT INTO cart_items VALUES (2, 77)')).rejects.toMatchObject({ errno: 1452 });
});

test('a name that is taken, or a kept table that was dropped, is said before anything is renamed', async () => {
  await retireTables(pool, slice());
  await pool.query('CREATE TABLE products (id INT PRIMARY KEY)');
  await expect(reviveTables(pool, slice())).rejects.toThrow(NothingRetired);
  await pool.query('DROP TABLE products');
  await pool.query('RENAME TABLE strangler_old_reviews TO elsewhere');
  await expect(reviveTables(pool, slice())).rejects.toThrow(/there is no way back/);
  expect(await rowsOf(pool, "SHOW TABLES LIKE 'products'")).toEqual([]);
  await pool.query('RENAME TABLE elsewhere TO strangler_old_reviews');
  await reviveTables(pool, slice());
});
