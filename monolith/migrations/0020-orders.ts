import type { MigrationArguments } from '../migration.ts';

export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
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
      KEY orders_by_status (status, id),
      CONSTRAINT orders_account FOREIGN KEY (account_id) REFERENCES accounts (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
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
      KEY order_items_product (product_id),
      CONSTRAINT order_items_order FOREIGN KEY (order_id) REFERENCES orders (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT,
      CONSTRAINT order_items_product FOREIGN KEY (product_id) REFERENCES products (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('DROP TABLE order_items');
  await sequelize.query('DROP TABLE orders');
}
