import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { onConnection } from '@strangler/platform/outbox/execute.ts';
import { record } from '@strangler/platform/outbox/record.ts';
import { installOutbox, outboxInstaller, sourceUuid } from '@strangler/platform/outbox/schema.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { type Model, type ModelStatic, QueryTypes } from 'sequelize';
import { type Database, databaseMigrations, openDatabase } from './database.ts';

const log = createLog({ name: 'test', level: 'fatal' });
let fresh: FreshDatabase;
let database: Database;

const rows = (sql: string) => database.sequelize.query<Record<string, string>>(sql, { type: QueryTypes.SELECT });

const recordAnEvent = (pool: Pool) =>
  record(
    { slice: 'other', type: 'thing.happened', schemaVersion: 1, aggregate: 'thing', key: '1', data: {} },
    onConnection(pool),
  );

beforeAll(async () => {
  fresh = await freshDatabase('schema');
  database = openDatabase({ url: fresh.url, log, poolMax: 2 });
});

afterAll(async () => {
  await database?.close();
  await fresh?.drop();
});

test('every migration goes up, down and up again', async () => {
  const migrations = await databaseMigrations(database.sequelize, log);
  const up = await migrations.up();
  expect(up.length).toBeGreaterThan(9);
  await migrations.down({ to: 0 });
  const left = await rows('SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()');
  expect(left.map((row) => row.name)).toEqual(['schema_migrations']);
  expect(await migrations.up()).toHaveLength(up.length);
});

test('an outbox that stands there already is kept with what it holds, belongs to the shop then, and goes when the schema goes', async () => {
  const migrations = await databaseMigrations(database.sequelize, log);
  await migrations.down({ to: '0026-outbox' });
  const pool = createPool(fresh.url);
  try {
    await installOutbox(pool, { rowsPerPartition: 10, installedBy: 'strangler' });
    const uuid = await sourceUuid(pool);
    await recordAnEvent(pool);
    await migrations.up();
    expect(await sourceUuid(pool)).toBe(uuid);
    expect(await outboxInstaller(pool)).toBe('application');
    expect(await rows('SELECT topic FROM strangler_outbox')).toEqual([{ topic: 'other.thing.happened' }]);
    await migrations.down({ to: '0026-outbox' });
    expect(await rows("SHOW TABLES LIKE 'strangler%'")).toEqual([]);
    await migrations.up();
  } finally {
    await pool.end();
  }
});

test('two processes that migrate at the same time do it once', async () => {
  await (await databaseMigrations(database.sequelize, log)).down({ to: 0 });
  const other = openDatabase({ url: fresh.url, log, poolMax: 2 });
  try {
    const done = await Promise.all([
      databaseMigrations(database.sequelize, log).then((migrations) => migrations.up()),
      databaseMigrations(other.sequelize, log).then((migrations) => migrations.up()),
    ]);
    expect(done.map((names) => names.length).sort()[0]).toBe(0);
  } finally {
    await other.close();
  }
});

test('every text column has the collation on which both engines agree, or is ASCII', async () => {
  const columns = await rows(`
    SELECT table_name AS t, column_name AS c, collation_name AS collation
      FROM information_schema.columns
     WHERE table_schema = DATABASE() AND collation_name IS NOT NULL AND table_name <> 'schema_migrations'`);
  // MariaDB keeps JSON as text in utf8mb4_bin.
  const allowed = ['utf8mb4_unicode_ci', 'ascii_bin', 'utf8mb4_bin'];
  expect(columns.filter((column) => !allowed.includes(column.collation ?? ''))).toEqual([]);
});

test('no foreign key cascades: triggers would not see it', async () => {
  const keys = await rows(`
    SELECT constraint_name AS name, delete_rule AS on_delete, update_rule AS on_update
      FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()`);
  expect(keys.length).toBeGreaterThan(3);
  const quiet = ['RESTRICT', 'NO ACTION'];
  expect(keys.filter((key) => !quiet.includes(key.on_delete ?? '') || !quiet.includes(key.on_update ?? ''))).toEqual(
    [],
  );
});

test('every model has the columns of its table', async () => {
  for (const model of Object.values<ModelStatic<Model>>(database.models)) {
    const described = await database.sequelize.getQueryInterface().describeTable(model.tableName);
    expect(Object.keys(model.getAttributes()).sort()).toEqual(Object.keys(described).sort());
  }
});
