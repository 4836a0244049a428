import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parseSliceFile } from '@strangler/platform/contracts/slice-file.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { schemaMigrations } from '@strangler/platform/mysql/schema-migrations.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { migrateUp, migrationsDirectory } from '../database.ts';

const log = createLog({ name: 'test', level: 'silent' });
const sliceFile = fileURLToPath(new URL('../../../migrations/slices/payments/slice.yaml', import.meta.url));

let database: FreshDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await freshDatabase('pay_schema');
  pool = createPool(database.url, { connectionLimit: 2 });
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

const tables = async () =>
  (
    await select<{ name: string }>(
      pool,
      'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1',
    )
  )
    .map(({ name }) => name)
    .filter((name) => !/migrations/i.test(name));

test('the schema goes up, all the way down, and up again', async () => {
  const names = await migrateUp(database.url, log);
  expect(names.length).toBeGreaterThan(4);
  const up = await tables();
  const migrations = schemaMigrations({ url: database.url, directory: migrationsDirectory, log });
  await migrations.down({ to: 0 });
  await migrations.close();
  expect(await tables()).toEqual([]);
  expect(await migrateUp(database.url, log)).toEqual(names);
  expect(await tables()).toEqual(up);
});

test('a row of the shop has a place here with nothing but what the slice maps', async () => {
  const { slice } = parseSliceFile(readFileSync(sliceFile, 'utf8'), sliceFile);
  const mapped = Object.keys(slice?.tables.find(({ target }) => target === 'payments')?.columns ?? {});
  const needed = await select<{ name: string }>(
    pool,
    `SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'payments'
       AND IS_NULLABLE = 'NO' AND COLUMN_DEFAULT IS NULL AND EXTRA NOT LIKE '%auto_increment%'`,
  );
  expect(mapped).toEqual(expect.arrayContaining(needed.map(({ name }) => name)));
});

test('no table has a foreign key: rows come in any order, and orders and accounts are not here', async () => {
  const keys = await select(
    pool,
    "SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = DATABASE() AND CONSTRAINT_TYPE = 'FOREIGN KEY'",
  );
  expect(keys).toEqual([]);
});
