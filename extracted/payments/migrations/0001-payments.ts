import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// The shop's two tables as they are there, without its foreign keys: orders and accounts are not here, and rows of different
// tables may come in any order. `asked_at` and `lease_token` are the service's own and have defaults, because the rows that are
// copied do not bring them.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE payments (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      order_id BIGINT UNSIGNED NOT NULL,
      account_id BIGINT UNSIGNED NOT NULL,
      reference VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      provider_charge_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
      amount_cents BIGINT UNSIGNED NOT NULL,
      currency CHAR(3) NOT NULL,
      status VARCHAR(16) NOT NULL,
      failure_code VARCHAR(64) NULL,
      check_at DATETIME(3) NULL,
      checks INT UNSIGNED NOT NULL DEFAULT 0,
      asked_at DATETIME(3) NULL,
      lease_token BIGINT UNSIGNED NOT NULL DEFAULT 0,
      created_at DATETIME(3) NOT NULL,
      updated_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      UNIQUE KEY payments_order (order_id),
      UNIQUE KEY payments_reference (reference),
      KEY payments_of_account (account_id),
      KEY payments_to_check (check_at)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE payment_events (
      event_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      type VARCHAR(64) NOT NULL,
      payment_id BIGINT UNSIGNED NULL,
      effect VARCHAR(32) NOT NULL,
      received_at DATETIME(3) NOT NULL,
      PRIMARY KEY (event_id),
      KEY payment_events_of_payment (payment_id),
      KEY payment_events_by_age (received_at)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['payment_events', 'payments']) await sequelize.query(`DROP TABLE ${table}`);
};
