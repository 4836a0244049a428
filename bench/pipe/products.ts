import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MappedTable } from '@strangler/migrations/engine/apply/row-shape.ts';
import { planCapture } from '@strangler/migrations/engine/capture/capture-plan.ts';
import { installCapture, removeCapture } from '@strangler/migrations/engine/capture/install-capture.ts';
import type { Pool } from 'mysql2/promise';

/** The slice that all of the pipe's benches move: one table like a shop's products, every column as it is. */
export const slice = 'bench';
export const table = 'products';

const columns = `
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  sku VARCHAR(64) NOT NULL,
  name VARCHAR(200) NOT NULL,
  description TEXT NOT NULL,
  category_id BIGINT UNSIGNED NOT NULL,
  price_cents INT UNSIGNED NOT NULL,
  currency CHAR(3) NOT NULL,
  attributes JSON NOT NULL,
  active TINYINT(1) NOT NULL DEFAULT 1,
  version INT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY products_sku (sku),
  KEY products_category (category_id)`;

export const columnNames = [...columns.matchAll(/^ {2}([a-z_]+) /gm)].map(([, name]) => name as string);

export const productsSql = (name: string): string =>
  `CREATE TABLE ${name} (${columns}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci`;

export const createProducts = async (db: Pool, name = table): Promise<void> => {
  await db.query(`DROP TABLE IF EXISTS ${name}`);
  await db.query(productsSql(name));
};

const rowsAtOnce = 50_000;

/** Statements that fill the table with the rows 1 to `rows`, of about 400 bytes each; the same every time. */
export const fillSql = (rows: number, name: string): string[] => {
  const digits = Array.from({ length: 10 }, (_, digit) => `SELECT ${digit} AS n`).join(' UNION ALL ');
  const numbers = `SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n AS n
    FROM (${digits}) AS a, (${digits}) AS b, (${digits}) AS c, (${digits}) AS d, (${digits}) AS e`;
  return Array.from({ length: Math.ceil(rows / rowsAtOnce) }, (_, index) => {
    const from = index * rowsAtOnce;
    return `INSERT INTO ${name} (${columnNames.join(', ')})
      SELECT n + 1, CONCAT('SKU-', LPAD(n + 1, 9, '0')), CONCAT('Walnut kettle no. ', n + 1, ', 1.7 l'),
        CONCAT('A kettle of brushed steel with a "walnut" handle, no. ', n + 1, '. ', REPEAT('It boils water quickly and quietly. ', 4 + n MOD 4)),
        1 + n MOD 97, 1999 + n MOD 5000, 'EUR', CONCAT('{"colour": "steel", "watts": ', 1800 + n MOD 900, ', "handle": "walnut"}'),
        1, 1, '2026-01-01 10:00:00.000' + INTERVAL n SECOND, '2026-01-02 10:00:00.000' + INTERVAL n SECOND
      FROM (SELECT ${from} + n AS n FROM (${numbers}) AS numbers WHERE n < ${Math.min(rowsAtOnce, rows - from)} ORDER BY n) AS wanted`;
  });
};

export const fillProducts = async (db: Pool, rows: number, name = table): Promise<void> => {
  for (const sql of fillSql(rows, name)) await db.query(sql);
};

/** Writes the slice's file; gives the folder of slices and the slice's own. */
export const writeSlice = async (folder: string): Promise<{ slices: string; folder: string }> => {
  const slices = join(folder, 'slices');
  const own = join(slices, slice);
  await mkdir(own, { recursive: true });
  await writeFile(
    join(own, 'slice.yaml'),
    `slice: ${slice}\nservice: ${slice}\nroutes: [GET /api/products]\ntables:\n  - source: ${table}\n`,
  );
  return { slices, folder: own };
};

export const captureProducts = async (db: Pool, database: string, mapped: MappedTable): Promise<void> => {
  const { source, sourceDialect: dialect, mapping } = mapped;
  const plans = [planCapture({ slice, source, dialect, captured: mapping.captured })];
  await installCapture(db, { slice, database, epoch: 1, plans });
};

export const releaseProducts = async (db: Pool, database: string): Promise<void> => {
  await removeCapture(db, { slice, database });
};
