import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { schemaMigrations } from '@strangler/platform/mysql/schema-migrations.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { migrateUp, migrationsDirectory } from '../database.ts';
import { firstNotificationId } from './0001-notifications.ts';

const log = createLog({ name: 'test', level: 'silent' });
let database: FreshDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await freshDatabase('notif_schema');
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
  ).map(({ name }) => name);

test('all migrations go up, down to nothing, and up again', async () => {
  await migrateUp(database.url, log);
  const made = await tables();
  const migrations = schemaMigrations({ url: database.url, directory: migrationsDirectory, log });
  try {
    await migrations.down({ to: 0 });
    expect((await tables()).filter((name) => made.includes(name) && !/migration/i.test(name))).toEqual([]);
    expect((await migrations.up()).length).toBe(5);
    expect(await tables()).toEqual(made);
  } finally {
    await migrations.close();
  }
});

test('ids begin above those of the shop, and an event cannot have two notifications', async () => {
  const add = () =>
    pool.query(
      `INSERT INTO notifications (account_id, kind, title, body, created_at, delivered_by, event_id, event_epoch, event_position, marked)
       VALUES (1, 'order_placed', '', '', NOW(3), 'service', 'one', 1, 1, 0)`,
    );
  await add();
  expect(await select(pool, 'SELECT id FROM notifications')).toEqual([{ id: firstNotificationId }]);
  await expect(add()).rejects.toMatchObject({ errno: 1062 });
});
