import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { schemaMigrations } from '@strangler/platform/mysql/schema-migrations.ts';
import { eventually, type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool, PoolConnection, RowDataPacket } from 'mysql2/promise';
import { migrateUp, migrationsDirectory } from '../database.ts';

const log = createLog({ name: 'test', level: 'silent' });

let database: FreshDatabase;
let pool: Pool;
/** May see what transactions wait for. */
let admin: Pool;
beforeAll(async () => {
  database = await freshDatabase('cat_schema');
  await migrateUp(database.url, log);
  pool = createPool(database.url, { connectionLimit: 12 });
  admin = createPool(database.adminUrl, { connectionLimit: 1 });
});
afterAll(async () => {
  await pool?.end();
  await admin?.end();
  await database?.drop();
});

type Runner = Pick<Pool | PoolConnection, 'query'>;

async function rows(db: Runner, sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const [found] = await db.query<RowDataPacket[]>(sql, values);
  return found;
}

let lastId = 0;
const nextId = (): number => (lastId += 1);

const addCategory = (db: Runner, id: number, name = `Name ${id}`) =>
  db.query('INSERT INTO categories (id, name, slug, created_at, updated_at) VALUES (?, ?, ?, NOW(), NOW())', [
    id,
    name,
    `slug-${id}`,
  ]);

const productColumns =
  'id, sku, name, description, category_id, price_cents, currency, attributes, created_at, updated_at';

const addProduct = (db: Runner, id: number, categoryId: number) =>
  db.query(`INSERT INTO products (${productColumns}) VALUES (?, ?, 'n', '', ?, 1, 'EUR', '{}', NOW(), NOW())`, [
    id,
    `SKU-${id}`,
    categoryId,
  ]);

async function namesOf(id: number): Promise<unknown[]> {
  const [row] = await rows(pool, 'SELECT category_name, category_slug FROM products WHERE id = ?', [id]);
  return [row?.category_name, row?.category_slug];
}

/** Products whose names are not those of their category, or not '' where it is not there. */
const wrongNames = () =>
  rows(
    pool,
    `SELECT p.id, p.category_id, p.category_name, c.name
       FROM products p LEFT JOIN categories c ON c.id = p.category_id
      WHERE CAST(p.category_name AS BINARY) <> CAST(COALESCE(c.name, '') AS BINARY)
         OR CAST(p.category_slug AS BINARY) <> CAST(COALESCE(c.slug, '') AS BINARY)`,
  );

/** A transaction as the pipe's are: at READ COMMITTED, without foreign keys. */
async function begin(): Promise<PoolConnection> {
  const connection = await pool.getConnection();
  await connection.query('SET @strangler_apply = 1, SESSION foreign_key_checks = 0');
  await connection.query('SET SESSION innodb_lock_wait_timeout = 20');
  await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
  await connection.query('START TRANSACTION');
  return connection;
}

/** Until a statement has ended, or waits for a lock. */
async function doneOrWaiting(connection: PoolConnection, statement: Promise<unknown> | undefined): Promise<void> {
  let done = false;
  const ended = () => {
    done = true;
  };
  statement?.then(ended, ended);
  await eventually(async () => {
    const sql = 'SELECT trx_state AS state FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = ?';
    const [transaction] = await rows(admin, sql, [connection.threadId]);
    return done || transaction?.state === 'LOCK WAIT';
  });
}

async function commit(connection: PoolConnection): Promise<void> {
  await connection.query('COMMIT');
  connection.release();
}

describe('the names that a product shows of its category', () => {
  test('are those of the category, whichever of the two comes first', async () => {
    const [category, first, second] = [nextId(), nextId(), nextId()];
    await addProduct(pool, first, category);
    expect(await namesOf(first)).toEqual(['', '']);
    await addCategory(pool, category, 'Décor');
    await addProduct(pool, second, category);
    for (const id of [first, second]) expect(await namesOf(id)).toEqual(['Décor', `slug-${category}`]);
  });

  test('follow a new name to the letter, a new slug and a new category, and stay at any other change', async () => {
    const [one, other, id] = [nextId(), nextId(), nextId()];
    await addCategory(pool, one, 'garden');
    await addProduct(pool, id, one);
    await pool.query("UPDATE categories SET name = 'Garden ' WHERE id = ?", [one]);
    expect(await namesOf(id)).toEqual(['Garden ', `slug-${one}`]);
    await pool.query("UPDATE categories SET slug = 'other-slug' WHERE id = ?", [one]);
    expect(await namesOf(id)).toEqual(['Garden ', 'other-slug']);
    await pool.query('UPDATE products SET price_cents = 2 WHERE id = ?', [id]);
    expect(await namesOf(id)).toEqual(['Garden ', 'other-slug']);
    await pool.query('UPDATE products SET category_id = ? WHERE id = ?', [other, id]);
    expect(await namesOf(id)).toEqual(['', '']);
    await addCategory(pool, other);
    expect(await namesOf(id)).toEqual([`Name ${other}`, `slug-${other}`]);
  });

  test('are the category’s, whatever somebody writes there', async () => {
    const [category, id] = [nextId(), nextId()];
    await addCategory(pool, category);
    await addProduct(pool, id, category);
    await pool.query("UPDATE products SET category_name = 'mine', category_slug = 'mine' WHERE id = ?", [id]);
    expect(await namesOf(id)).toEqual([`Name ${category}`, `slug-${category}`]);
  });

  test('change with a batch of rows as with one, and leave versions and times alone', async () => {
    const [category, ...ids] = [nextId(), nextId(), nextId(), nextId()];
    const rowsOf = ids.map((id) => [id, `SKU-${id}`, 'n', '', category, 1, 'EUR', '{}', '2024-01-01', '2024-01-01']);
    await pool.query(`INSERT INTO products (${productColumns}) VALUES ?`, [rowsOf]);
    await addCategory(pool, category);
    await pool.query("UPDATE categories SET name = 'Batch' WHERE id = ?", [category]);
    const changed = await rows(
      pool,
      `SELECT DISTINCT category_name, version, DATE_FORMAT(updated_at, '%Y-%m-%d') AS day FROM products WHERE id IN (?)`,
      [ids],
    );
    expect(changed).toEqual([{ category_name: 'Batch', version: 1, day: '2024-01-01' }]);
  });

  test.each(['category', 'product'])(
    'are right when both are added by open transactions, the %s first',
    async (firstOne) => {
      const [category, id] = [nextId(), nextId()];
      const steps = [(db: Runner) => addCategory(db, category), (db: Runner) => addProduct(db, id, category)];
      if (firstOne === 'product') steps.reverse();
      const [first, second] = [await begin(), await begin()];
      await steps[0]?.(first);
      // It has to wait for the other's end, or else has seen all that it needs.
      const later = steps[1]?.(second);
      await doneOrWaiting(second, later);
      await commit(first);
      await later;
      await commit(second);
      expect(await namesOf(id)).toEqual([`Name ${category}`, `slug-${category}`]);
    },
  );

  test.each(['rename', 'move'])(
    'are right when one open transaction renames and another moves, the %s first',
    async (firstOne) => {
      const [from, to, id] = [nextId(), nextId(), nextId()];
      await addCategory(pool, from);
      await addCategory(pool, to);
      await addProduct(pool, id, from);
      const steps = [
        (db: Runner) => db.query("UPDATE categories SET name = 'Renamed' WHERE id = ?", [to]),
        (db: Runner) => db.query('UPDATE products SET category_id = ? WHERE id = ?', [to, id]),
      ];
      if (firstOne === 'move') steps.reverse();
      const [first, second] = [await begin(), await begin()];
      await steps[0]?.(first);
      const later = steps[1]?.(second);
      await doneOrWaiting(second, later);
      await commit(first);
      await later;
      await commit(second);
      expect(await namesOf(id)).toEqual(['Renamed', `slug-${to}`]);
    },
  );

  test('are right when the category is added between the look for it and the writing of the product', async () => {
    const [category, id] = [nextId(), nextId()];
    const gate = `${database.name}.gate`;
    // Runs after the trigger that looks, and before the row is written.
    await pool.query(
      `CREATE TRIGGER test_gate BEFORE INSERT ON products FOR EACH ROW FOLLOWS products_category_added
       SET @gate = GET_LOCK('${gate}', 20)`,
    );
    const keeper = await pool.getConnection();
    await keeper.query('SELECT GET_LOCK(?, 0)', [gate]);
    const [first, second] = [await begin(), await begin()];
    try {
      const product = addProduct(first, id, category);
      await eventually(async () => {
        const sql = "SELECT COUNT(*) AS n FROM information_schema.processlist WHERE id = ? AND state = 'User lock'";
        const [waiting] = await rows(admin, sql, [first.threadId]);
        return waiting?.n === 1;
      });
      const added = addCategory(second, category).then(() => commit(second));
      await doneOrWaiting(second, added);
      await keeper.query('SELECT RELEASE_LOCK(?)', [gate]);
      await product;
      await first.query('SELECT RELEASE_LOCK(?)', [gate]);
      await commit(first);
      await added;
      expect(await namesOf(id)).toEqual([`Name ${category}`, `slug-${category}`]);
    } finally {
      keeper.release();
      await pool.query('DROP TRIGGER test_gate');
    }
  });

  test('converge under many writers in any order', async () => {
    const categories = Array.from({ length: 6 }, nextId);
    const products = Array.from({ length: 30 }, nextId);
    const pick = (list: readonly number[]): number => list[Math.floor(Math.random() * list.length)] as number;
    const inTransaction = async (work: (db: PoolConnection) => Promise<unknown>): Promise<void> => {
      for (;;) {
        const connection = await begin();
        try {
          await work(connection);
          return await commit(connection);
        } catch (error) {
          await connection.query('ROLLBACK');
          connection.release();
          // A deadlock is tried again, as the pipe does; a row that somebody else was first to add is not.
          const { errno } = error as { errno?: number };
          if (errno === 1062) return;
          if (errno !== 1213 && errno !== 1205) throw error;
        }
      }
    };
    const step = async (db: PoolConnection): Promise<unknown> => {
      const chance = Math.random();
      const [category, product] = [pick(categories), pick(products)];
      if (chance < 0.15) return await addCategory(db, category);
      if (chance < 0.25) return await db.query('DELETE FROM categories WHERE id = ?', [category]);
      if (chance < 0.5) return await addProduct(db, product, category);
      if (chance < 0.65) return await db.query('DELETE FROM products WHERE id = ?', [product]);
      if (chance < 0.85) return await db.query('UPDATE products SET category_id = ? WHERE id = ?', [category, product]);
      return await db.query('UPDATE categories SET name = ? WHERE id = ?', [`Name ${Math.random()}`, category]);
    };
    const write = async () => {
      for (let turn = 0; turn < 60; turn += 1) {
        await inTransaction(async (db) => {
          for (let n = 0; n < 1 + Math.random() * 3; n += 1) await step(db);
        });
      }
    };
    await Promise.all(Array.from({ length: 8 }, write));
    // What is shown of a category that was deleted meanwhile is nobody's concern; everything else has to be right.
    for (const id of categories) await addCategory(pool, id).catch(() => {});
    expect(await wrongNames()).toEqual([]);
  });
});

test('authors keep the name of their newest review, and every step can be undone', async () => {
  const other = await freshDatabase('cat_steps');
  const migrations = schemaMigrations({ url: other.url, directory: migrationsDirectory, log });
  const db = createPool(other.url, { connectionLimit: 1 });
  try {
    await migrations.up({ to: '0001-catalogue' });
    const review = 'INSERT INTO reviews (product_id, author_id, author_name, rating, title, body, created_at) VALUES ';
    await db.query(
      `${review} (1, 7, 'old', 5, 't', 'b', NOW()), (2, 7, 'new', 5, 't', 'b', NOW()), (2, 8, 'B', 5, 't', 'b', NOW())`,
    );
    await migrations.up();
    expect(await rows(db, 'SELECT id, display_name FROM authors ORDER BY id')).toEqual([
      { id: 7, display_name: 'new' },
      { id: 8, display_name: 'B' },
    ]);
    await migrations.down({ to: '0002-authors' });
    const back = await rows(db, 'SELECT author_id, author_name FROM reviews ORDER BY id');
    expect(back.map(({ author_name }) => author_name)).toEqual(['new', 'new', 'B']);
    await migrations.up();
    await migrations.down({ to: 0 });
    expect(await rows(db, 'SHOW TABLES')).toHaveLength(1);
  } finally {
    await migrations.close();
    await db.end();
    await other.drop();
  }
});
