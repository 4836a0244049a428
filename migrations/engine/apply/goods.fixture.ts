import { setTimeout as wait } from 'node:timers/promises';
import { conflictOf } from '@strangler/platform/mysql/transaction.ts';
import type { Connection, Pool } from 'mysql2/promise';
import { rowsOf } from '../schema/queryable.ts';

/** A table with a composite key of which one part compares without regard to case, unique columns, and most types. */
export const goodsColumns = `
  shop VARCHAR(12) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
  no BIGINT UNSIGNED NOT NULL,
  sku VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  name VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
  price DECIMAL(12,4) NOT NULL DEFAULT 0,
  note TEXT CHARACTER SET utf8mb4 NULL,
  made_at DATETIME(6) NULL,
  seen_at TIMESTAMP(6) NULL,
  photo VARBINARY(200) NULL,
  document JSON NULL,
  size ENUM('small', 'large', 'of its own') NULL,
  tags SET('a', 'b', 'c') NULL,
  bits BIT(12) NULL,
  weight DOUBLE NULL,
  PRIMARY KEY (shop, no),
  UNIQUE KEY by_sku (sku)`;

/** The rows as an independent reader finds them: every value by its bytes. */
export async function readGoods(pool: Pool, table = 'goods'): Promise<unknown[]> {
  return await rowsOf(
    pool,
    `SELECT HEX(shop) AS shop, CAST(no AS CHAR) AS no, HEX(sku) AS sku, HEX(name) AS name, CAST(price AS CHAR) AS price,
       HEX(note) AS note, CAST(made_at AS CHAR) AS made_at, CAST(seen_at AS CHAR) AS seen_at, HEX(photo) AS photo,
       CAST(document AS CHAR) AS document, size + 0 AS size, tags + 0 AS tags, HEX(bits + 0) AS bits, CAST(weight AS CHAR) AS weight
     FROM ${table} AS g ORDER BY g.shop, g.no`,
  );
}

const shops = ['Nord', 'süd', 'Ost ', 'west~/'];
const names = ['Kettle', 'kettle', 'Kettle ', 'Кружка', '茶壺 🫖', 'O\'Neill\\"', ''];
const pick = <T>(from: readonly T[]): T => from[Math.floor(Math.random() * from.length)] as T;
const maybe = <T>(value: T): T | null => (Math.random() < 0.2 ? null : value);
const below = (bound: number): number => Math.floor(Math.random() * bound);

/** Values of one row beside its key and sku. */
const values = (): Record<string, unknown> => ({
  name: pick(names),
  price: `${below(100_000)}.${String(below(10_000)).padStart(4, '0')}`,
  note: maybe(pick([...names, 'x'.repeat(below(300)), '\u0000\u001f\n\t'])),
  made_at: maybe(`2026-0${1 + below(9)}-11 0${below(10)}:00:00.${String(below(1_000_000)).padStart(6, '0')}`),
  seen_at: maybe(`2026-10-25 0${below(10)}:30:00.${String(below(1_000_000)).padStart(6, '0')}`),
  photo: maybe(Buffer.from(Array.from({ length: below(20) }, () => below(256)))),
  document: maybe(JSON.stringify({ a: below(5), text: pick(names), list: [1.5, null, true] })),
  size: maybe(pick(['small', 'large', 'of its own'])),
  tags: maybe(pick(['', 'a', 'a,c', 'a,b,c'])),
  bits: maybe(below(4096)),
  weight: maybe(pick([0.1, -1e-7, 1 / 3, 12345.678901234567])),
});

/** Rows with keys 0 … in every shop; as many as told, in statements of many rows. */
export async function fillGoods(pool: Pool, count: number): Promise<void> {
  const columns = ['shop', 'no', 'sku', ...Object.keys(values())];
  for (let at = 0; at < count; at += 500) {
    const rows = Array.from({ length: Math.min(500, count - at) }, (_, index) => {
      const number = at + index;
      return [shops[number % shops.length], number, maybe(`sku ${number}`), ...Object.values(values())];
    });
    await pool.query(`INSERT INTO goods (${columns.join(', ')}) VALUES ?`, [rows]);
  }
}

/** One thing that a program does to the goods, in a transaction of its own, in the middle of which it may think. */
export async function changeGoods(connection: Connection, keys: number): Promise<void> {
  const [shop, no] = [pick(shops), below(keys)];
  const where = 'shop = ? AND no = ?';
  // A statement that scans the table would otherwise lock all of it.
  await connection.query('SET TRANSACTION ISOLATION LEVEL READ COMMITTED');
  await connection.query('START TRANSACTION');
  const kind = below(9);
  if (kind === 0) await connection.query(`DELETE FROM goods WHERE ${where}`, [shop, no]);
  else if (kind === 1)
    await connection.query('DELETE FROM goods WHERE shop = ? AND no BETWEEN ? AND ?', [shop, no, no + 6]);
  else if (kind === 2) {
    await connection.query('INSERT IGNORE INTO goods SET shop = ?, no = ?, sku = ?, ?', [
      shop,
      no,
      `sku ${below(keys)}`,
      values(),
    ]);
  } else if (kind === 3) {
    // Another spelling of the same key, and now and then another key. (Not UPDATE IGNORE: MariaDB runs AFTER triggers
    // also for the rows that it ignores, with values that were never stored.)
    const spelt = Math.random() < 0.5 ? shop.toUpperCase() : shop;
    const other = Math.random() < 0.5 ? no : below(keys);
    await connection.query(`UPDATE goods SET shop = ?, no = ? WHERE ${where}`, [spelt, other, shop, no]);
  } else if (kind === 4) await swapSkus(connection, no, below(keys));
  else if (kind === 5) {
    await connection.query(
      "UPDATE goods SET price = price + 1, note = CONCAT(COALESCE(LEFT(note, 50), ''), '!') WHERE no < ?",
      [3 + below(5)],
    );
  } else await connection.query(`UPDATE goods SET ? WHERE ${where}`, [values(), shop, no]);
  if (Math.random() < 0.3) await wait(below(8));
  await connection.query(Math.random() < 0.1 ? 'ROLLBACK' : 'COMMIT');
}

async function swapSkus(connection: Connection, one: number, other: number): Promise<void> {
  const rows = await rowsOf<{ shop: string; no: number; sku: string | null }>(
    connection,
    'SELECT shop, no, sku FROM goods WHERE no IN (?, ?) ORDER BY shop, no',
    [one, other],
  );
  const [a, b] = rows;
  if (a === undefined || b === undefined) return;
  const set = (row: typeof a, sku: string | null) =>
    connection.query('UPDATE goods SET sku = ? WHERE shop = ? AND no = ?', [sku, row.shop, row.no]);
  await set(a, 'in between');
  await set(b, a.sku);
  await set(a, b.sku);
}

/** Programs that change the goods until told to stop. */
export type GoodsWriters = { stop(): Promise<{ done: number; given: number }> };

export function startGoodsWriters(pool: Pool, count: number, keys: number, pauseMs = 0): GoodsWriters {
  let stopped = false;
  let done = 0;
  let given = 0;
  const work = async () => {
    while (!stopped) {
      const connection = await pool.getConnection();
      try {
        await changeGoods(connection, keys);
        done += 1;
      } catch (error) {
        await connection.query('ROLLBACK');
        const { errno } = error as { errno?: number };
        // Refused by a unique key or given up to another writer: as any program meets it.
        if (conflictOf(error) === undefined && errno !== 1062) throw error;
        given += 1;
      } finally {
        connection.release();
      }
      if (pauseMs > 0) await wait(pauseMs);
    }
  };
  const working = Promise.all(Array.from({ length: count }, work));
  working.catch(() => {});
  return {
    async stop() {
      stopped = true;
      await working;
      return { done, given };
    },
  };
}
