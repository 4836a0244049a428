import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// What happened to each order, and what that came to at some version of it. An order that came through the pipe has no events
// until it is first changed here.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE order_events (
      order_id BIGINT UNSIGNED NOT NULL,
      version INT UNSIGNED NOT NULL,
      type VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      schema_version SMALLINT UNSIGNED NOT NULL,
      data JSON NOT NULL,
      recorded_at DATETIME(3) NOT NULL,
      PRIMARY KEY (order_id, version)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE order_snapshots (
      order_id BIGINT UNSIGNED NOT NULL,
      version INT UNSIGNED NOT NULL,
      state JSON NOT NULL,
      PRIMARY KEY (order_id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['order_snapshots', 'order_events']) await sequelize.query(`DROP TABLE ${table}`);
};
