import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// What orders are shown with and is another's: copies that the pipe keeps in step and that never flow back. `payment_news` is what
// the payments themselves have answered here since.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE accounts (
      id BIGINT UNSIGNED NOT NULL,
      email VARCHAR(254) NOT NULL,
      display_name VARCHAR(100) NOT NULL,
      PRIMARY KEY (id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE products (
      id BIGINT UNSIGNED NOT NULL,
      sku VARCHAR(64) NOT NULL,
      name VARCHAR(200) NOT NULL,
      category_id BIGINT UNSIGNED NOT NULL,
      price_cents INT UNSIGNED NOT NULL,
      currency CHAR(3) NOT NULL,
      active BOOLEAN NOT NULL,
      archived_at DATETIME(3) NULL,
      PRIMARY KEY (id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE categories (
      id BIGINT UNSIGNED NOT NULL,
      name VARCHAR(100) NOT NULL,
      slug VARCHAR(100) NOT NULL,
      PRIMARY KEY (id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  for (const [table, key] of [
    ['payments', 'PRIMARY KEY (id), UNIQUE KEY payments_order (order_id)'],
    ['payment_news', 'PRIMARY KEY (order_id)'],
  ]) {
    await sequelize.query(`
      CREATE TABLE ${table} (
        id BIGINT UNSIGNED NOT NULL,
        order_id BIGINT UNSIGNED NOT NULL,
        amount_cents BIGINT UNSIGNED NOT NULL,
        currency CHAR(3) NOT NULL,
        status VARCHAR(16) NOT NULL,
        failure_code VARCHAR(64) NULL,
        created_at DATETIME(3) NOT NULL,
        updated_at DATETIME(3) NOT NULL,
        ${key}
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
    `);
  }
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['payment_news', 'payments', 'categories', 'products', 'accounts']) {
    await sequelize.query(`DROP TABLE ${table}`);
  }
};
