import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// Of orders no more is kept than an invoice shows. JSON is text: the engines' JSON types differ.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE jobs (
      id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      kind ENUM('email','invoice','digest') NOT NULL,
      account_id BIGINT UNSIGNED NOT NULL,
      notification_id BIGINT UNSIGNED NULL,
      order_id BIGINT UNSIGNED NULL,
      day CHAR(10) NULL,
      after_job VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
      state ENUM('pending','running','done','failed') NOT NULL,
      priority SMALLINT UNSIGNED NOT NULL,
      run_at DATETIME(3) NOT NULL,
      attempts INT UNSIGNED NOT NULL DEFAULT 0,
      doubtful INT UNSIGNED NOT NULL DEFAULT 0,
      progress TINYINT UNSIGNED NOT NULL DEFAULT 0,
      lease_until DATETIME(3) NULL,
      error VARCHAR(500) NULL,
      result VARCHAR(100) NULL,
      created_at DATETIME(3) NOT NULL,
      finished_at DATETIME(3) NULL,
      PRIMARY KEY (id),
      KEY jobs_by_state (state, run_at),
      KEY jobs_of_notification (notification_id),
      KEY jobs_after (after_job, state)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE told_orders (
      id BIGINT UNSIGNED NOT NULL,
      account_id BIGINT UNSIGNED NOT NULL,
      total_cents BIGINT UNSIGNED NOT NULL,
      currency CHAR(3) NOT NULL,
      items MEDIUMTEXT NOT NULL,
      placed_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE invoices (
      order_id BIGINT UNSIGNED NOT NULL,
      account_id BIGINT UNSIGNED NOT NULL,
      pdf MEDIUMBLOB NOT NULL,
      created_at DATETIME(3) NOT NULL,
      PRIMARY KEY (order_id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['invoices', 'told_orders', 'jobs']) await sequelize.query(`DROP TABLE ${table}`);
};
