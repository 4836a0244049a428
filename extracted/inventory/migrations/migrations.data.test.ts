import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { schemaMigrations } from '@strangler/platform/mysql/schema-migrations.ts';
import { installOutbox } from '@strangler/platform/outbox/schema.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { migrateUp, migrationsDirectory } from '../database.ts';

const log = createLog({ name: 'test', level: 'silent' });
let database: FreshDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await freshDatabase('inv_schema');
  pool = createPool(database.url, { connectionLimit: 1 });
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

async function rows(sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const [found] = await pool.query<RowDataPacket[]>(sql, values);
  return found;
}

async function schema(): Promise<unknown[]> {
  return rows(
    `SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLLATION_NAME FROM information_schema.COLUMNS
      WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT LIKE 'schema%' ORDER BY 1, ORDINAL_POSITION`,
  );
}

describe('the schema', () => {
  test('goes up, all the way down, and up to the same again', async () => {
    const names = await migrateUp(database.url, log);
    expect(names).toHaveLength(6);
    const first = await schema();
    const migrations = schemaMigrations({ url: database.url, directory: migrationsDirectory, log });
    await migrations.down({ to: 0 });
    await migrations.close();
    expect(await schema()).toEqual([]);
    expect(await migrateUp(database.url, log)).toEqual(names);
    expect(await schema()).toEqual(first);
  });

  test('takes the outbox that the pipe has left for its own', async () => {
    const other = await freshDatabase('inv_outbox');
    const left = createPool(other.url, { connectionLimit: 1 });
    try {
      await installOutbox(left);
      await migrateUp(other.url, log);
      const [found] = await left.query('SELECT installed_by FROM strangler_outbox_source');
      expect(found).toEqual([{ installed_by: 'application' }]);
    } finally {
      await left.end();
      await other.drop();
    }
  });

  test('refuses what nobody may write: stock below zero, a state that is none, a line without its reservation', async () => {
    const stock = pool.query('INSERT INTO stock_levels (product_id, available, updated_at) VALUES (1, -1, NOW())');
    await expect(stock).rejects.toThrow(/stock_levels_not_negative/);
    const state = pool.query(
      "INSERT INTO reservations (id, state, expires_at, created_at) VALUES ('a', 'lost', NOW(), NOW())",
    );
    await expect(state).rejects.toThrow(/reservations_state/);
    const line = pool.query("INSERT INTO reservation_lines (reservation_id, product_id, quantity) VALUES ('a', 1, 1)");
    await expect(line).rejects.toThrow(/foreign key/i);
  });

  test('tells reservations apart byte by byte', async () => {
    for (const id of ['Held', 'held']) {
      const sql = "INSERT INTO reservations (id, state, expires_at, created_at) VALUES (?, 'held', NOW(), NOW())";
      await pool.query(sql, [id]);
    }
    expect(await rows("SELECT id FROM reservations WHERE id = 'HELD'")).toEqual([]);
  });

  test('depends on no table of others: rows of the shop come in any order', async () => {
    const keys = await rows(
      `SELECT TABLE_NAME AS name FROM information_schema.KEY_COLUMN_USAGE
        WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IS NOT NULL`,
    );
    expect(keys).toEqual([{ name: 'reservation_lines' }]);
  });
});
