import type { MigrationArguments } from '../migration.ts';

export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  // The check is the last line: every statement that takes stock carries its own condition.
  await sequelize.query(`
    CREATE TABLE stock_levels (
      product_id BIGINT UNSIGNED NOT NULL,
      available INT NOT NULL,
      version INT UNSIGNED NOT NULL DEFAULT 1,
      updated_at DATETIME(3) NOT NULL,
      PRIMARY KEY (product_id),
      CONSTRAINT stock_levels_not_negative CHECK (available >= 0),
      CONSTRAINT stock_levels_product FOREIGN KEY (product_id) REFERENCES products (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
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
      KEY stock_adjustments_of_order (order_id),
      KEY stock_adjustments_of_account (account_id),
      CONSTRAINT stock_adjustments_product FOREIGN KEY (product_id) REFERENCES products (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT,
      CONSTRAINT stock_adjustments_account FOREIGN KEY (account_id) REFERENCES accounts (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT,
      CONSTRAINT stock_adjustments_order FOREIGN KEY (order_id) REFERENCES orders (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('DROP TABLE stock_adjustments');
  await sequelize.query('DROP TABLE stock_levels');
}
