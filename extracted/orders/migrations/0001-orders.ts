import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// The shop's two tables as they are there, without its foreign keys: accounts and products are another's, and rows of different
// tables may come in any order.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE orders (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      account_id BIGINT UNSIGNED NOT NULL,
      status VARCHAR(20) NOT NULL,
      total_cents BIGINT UNSIGNED NOT NULL,
      currency CHAR(3) NOT NULL,
      cancel_reason VARCHAR(20) NULL,
      version INT UNSIGNED NOT NULL DEFAULT 1,
      created_at DATETIME(3) NOT NULL,
      updated_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      KEY orders_of_account (account_id, id),
      KEY orders_of_account_by_status (account_id, status, id),
      KEY orders_by_status (status, id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE order_items (
      order_id BIGINT UNSIGNED NOT NULL,
      product_id BIGINT UNSIGNED NOT NULL,
      name VARCHAR(200) NOT NULL,
      unit_price_cents INT UNSIGNED NOT NULL,
      quantity INT UNSIGNED NOT NULL,
      PRIMARY KEY (order_id, product_id),
      KEY order_items_product (product_id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['order_items', 'orders']) await sequelize.query(`DROP TABLE ${table}`);
};
