import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// The service's own: the shop knows a payment's present state and whole refunds only.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE refunds (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      payment_id BIGINT UNSIGNED NOT NULL,
      reference VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      amount_cents BIGINT UNSIGNED NOT NULL,
      status VARCHAR(16) NOT NULL,
      created_at DATETIME(3) NOT NULL,
      updated_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      UNIQUE KEY refunds_reference (reference),
      KEY refunds_of_payment (payment_id, id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE payment_history (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      payment_id BIGINT UNSIGNED NOT NULL,
      status VARCHAR(16) NOT NULL,
      refunded_cents BIGINT UNSIGNED NOT NULL,
      at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      KEY payment_history_of_payment (payment_id, id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['payment_history', 'refunds']) await sequelize.query(`DROP TABLE ${table}`);
};
