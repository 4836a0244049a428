import type { MigrationArguments } from '../migration.ts';

export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
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
      created_at DATETIME(3) NOT NULL,
      updated_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      UNIQUE KEY payments_order (order_id),
      UNIQUE KEY payments_reference (reference),
      KEY payments_of_account (account_id),
      KEY payments_to_check (check_at),
      CONSTRAINT payments_order FOREIGN KEY (order_id) REFERENCES orders (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT,
      CONSTRAINT payments_account FOREIGN KEY (account_id) REFERENCES accounts (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
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
      KEY payment_events_by_age (received_at),
      CONSTRAINT payment_events_payment FOREIGN KEY (payment_id) REFERENCES payments (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('DROP TABLE payment_events');
  await sequelize.query('DROP TABLE payments');
}
