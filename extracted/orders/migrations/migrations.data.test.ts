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
const sliceFile = fileURLToPath(new URL('../../../migrations/slices/orders/slice.yaml', import.meta.url));

let database: FreshDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await freshDatabase('ord_schema');
  pool = createPool(database.url, { connectionLimit: 2 });
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

async function tables(): Promise<string[]> {
  const sql = 'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1';
  const rows = await select<{ name: string }>(pool, sql);
  return rows.map(({ name }) => name).filter((name) => !/migrations/i.test(name));
}

test('the schema goes up, all the way down, and up again', async () => {
  const names = await migrateUp(database.url, log);
  expect(names).toHaveLength(8);
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
  for (const { target, columns } of slice?.tables ?? []) {
    if (columns === null || columns === undefined) continue;
    const needed = await select<{ name: string }>(
      pool,
      `SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?
         AND IS_NULLABLE = 'NO' AND COLUMN_DEFAULT IS NULL AND EXTRA NOT LIKE '%auto_increment%'`,
      [target],
    );
    expect(Object.keys(columns)).toEqual(expect.arrayContaining(needed.map(({ name }) => name)));
  }
});
