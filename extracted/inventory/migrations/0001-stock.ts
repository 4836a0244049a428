import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// The rows that the shop has, without its foreign keys: products, accounts and orders are others'. The check is the last line:
// every statement that takes stock carries its own condition.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE stock_levels (
      product_id BIGINT UNSIGNED NOT NULL,
      available INT NOT NULL,
      version INT UNSIGNED NOT NULL DEFAULT 1,
      updated_at DATETIME(3) NOT NULL,
      PRIMARY KEY (product_id),
      CONSTRAINT stock_levels_not_negative CHECK (available >= 0)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE stock_adjustments (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      product_id BIGINT UNSIGNED NOT NULL,
      delta INT NOT NULL,
      reason VARCHAR(200) NOT NULL,
      account_id BIGINT UNSIGNED NULL,
      order_id BIGINT UNSIGNED NULL,
      created_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      KEY stock_adjustments_of_product (product_id, id),
      KEY stock_adjustments_of_order (order_id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['stock_adjustments', 'stock_levels']) await sequelize.query(`DROP TABLE ${table}`);
};
