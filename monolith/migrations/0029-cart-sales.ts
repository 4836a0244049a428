import type { MigrationArguments } from '../migration.ts';

export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query(`
    CREATE TABLE cart_sales (
      id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      account_id BIGINT UNSIGNED NOT NULL,
      state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      cart_lines TEXT NOT NULL,
      created_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      KEY cart_sales_of_account (account_id, created_at),
      CONSTRAINT cart_sales_cart FOREIGN KEY (account_id) REFERENCES carts (account_id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('DROP TABLE cart_sales');
}
