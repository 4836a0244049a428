import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// The shop's, and one column of the service's own: the saga under which a key's request is done.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE idempotency_keys (
      account_id BIGINT UNSIGNED NOT NULL,
      idempotency_key VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      request_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      state VARCHAR(16) NOT NULL,
      runner CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      leased_until DATETIME(3) NOT NULL,
      order_id BIGINT UNSIGNED NULL,
      answer_status SMALLINT UNSIGNED NULL,
      answer_type VARCHAR(100) NULL,
      answer_location VARCHAR(255) NULL,
      answer_body MEDIUMTEXT NULL,
      created_at DATETIME(3) NOT NULL,
      expires_at DATETIME(3) NOT NULL,
      saga_id VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL,
      PRIMARY KEY (account_id, idempotency_key),
      KEY idempotency_keys_by_expiry (expires_at),
      KEY idempotency_keys_order (order_id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query('DROP TABLE idempotency_keys');
};
