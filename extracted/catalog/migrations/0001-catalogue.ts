import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// No foreign keys: rows of different tables may come in any order while they are still copied from elsewhere, and what the keys
// would refuse is checked under locks by whoever writes. One index a sort order, each beginning with `listed`, so that a
// page is read in order and what is not shown is not read. Everything that is compared or sorted has the one collation that
// MySQL and MariaDB implement alike.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE categories (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      parent_id BIGINT UNSIGNED NULL,
      name VARCHAR(100) NOT NULL,
      slug VARCHAR(100) NOT NULL,
      created_at DATETIME(3) NOT NULL,
      updated_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      UNIQUE KEY categories_slug (slug),
      KEY categories_parent (parent_id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE products (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      sku VARCHAR(64) NOT NULL,
      name VARCHAR(200) NOT NULL,
      description TEXT NOT NULL,
      category_id BIGINT UNSIGNED NOT NULL,
      category_name VARCHAR(100) NOT NULL,
      category_slug VARCHAR(100) NOT NULL,
      price_cents INT UNSIGNED NOT NULL,
      currency CHAR(3) NOT NULL,
      attributes JSON NOT NULL,
      active TINYINT(1) NOT NULL DEFAULT 1,
      archived_at DATETIME(3) NULL,
      listed TINYINT(1) GENERATED ALWAYS AS (active = 1 AND archived_at IS NULL) STORED,
      rating_sum INT UNSIGNED NOT NULL DEFAULT 0,
      rating_count INT UNSIGNED NOT NULL DEFAULT 0,
      rating_average DECIMAL(3,2) NOT NULL DEFAULT 0,
      version INT UNSIGNED NOT NULL DEFAULT 1,
      created_at DATETIME(3) NOT NULL,
      updated_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      UNIQUE KEY products_sku (sku),
      KEY products_by_name (listed, name, id),
      KEY products_by_price (listed, price_cents, id),
      KEY products_by_rating (listed, rating_average, id),
      KEY products_by_age (listed, created_at, id),
      KEY products_by_category (category_id, listed)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE reviews (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      product_id BIGINT UNSIGNED NOT NULL,
      author_id BIGINT UNSIGNED NOT NULL,
      author_name VARCHAR(100) NOT NULL,
      rating TINYINT UNSIGNED NOT NULL,
      title VARCHAR(120) NOT NULL,
      body TEXT NOT NULL,
      created_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      UNIQUE KEY reviews_one_per_author (product_id, author_id),
      KEY reviews_newest (product_id, created_at, id),
      KEY reviews_author (author_id, id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['reviews', 'products', 'categories']) await sequelize.query(`DROP TABLE ${table}`);
};
