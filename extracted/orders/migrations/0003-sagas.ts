import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// `due_at` is when a saga is to be looked at, and beyond now for as long as somebody has it; null when there is nothing left to do.
// No card token stands in any of it.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE sagas (
      id VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      account_id BIGINT UNSIGNED NOT NULL,
      idempotency_key VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NULL,
      order_id BIGINT UNSIGNED NULL,
      state JSON NOT NULL,
      due_at DATETIME(3) NULL,
      lease_token BIGINT UNSIGNED NOT NULL DEFAULT 0,
      created_at DATETIME(3) NOT NULL,
      updated_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      UNIQUE KEY sagas_order (order_id),
      KEY sagas_due (due_at)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE saga_steps (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      saga_id VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      happened JSON NOT NULL,
      at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      KEY saga_steps_of_saga (saga_id, id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['saga_steps', 'sagas']) await sequelize.query(`DROP TABLE ${table}`);
};
