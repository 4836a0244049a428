import type { MigrationArguments } from '../migration.ts';

export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query(`
    CREATE TABLE reviews (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      product_id BIGINT UNSIGNED NOT NULL,
      account_id BIGINT UNSIGNED NOT NULL,
      rating TINYINT UNSIGNED NOT NULL,
      title VARCHAR(120) NOT NULL,
      body TEXT NOT NULL,
      created_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      UNIQUE KEY reviews_one_per_customer (product_id, account_id),
      KEY reviews_newest (product_id, created_at, id),
      KEY reviews_account (account_id),
      CONSTRAINT reviews_product FOREIGN KEY (product_id) REFERENCES products (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT,
      CONSTRAINT reviews_account FOREIGN KEY (account_id) REFERENCES accounts (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('DROP TABLE reviews');
}
