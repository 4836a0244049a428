import type { MigrationArguments } from '../migration.ts';

export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
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
      PRIMARY KEY (account_id, idempotency_key),
      KEY idempotency_keys_by_expiry (expires_at),
      KEY idempotency_keys_order (order_id),
      CONSTRAINT idempotency_keys_account FOREIGN KEY (account_id) REFERENCES accounts (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT,
      CONSTRAINT idempotency_keys_order FOREIGN KEY (order_id) REFERENCES orders (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('DROP TABLE idempotency_keys');
}
