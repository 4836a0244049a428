import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// Products are another's: of each no more is kept than whether there is stock to speak of. The pipe writes `products`, and nobody
// else. Once the catalogue is not the shop's any more the pipe sees no change of it: that products were made, or removed, is then
// known from events, which are kept beside.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE products (
      id BIGINT UNSIGNED NOT NULL,
      archived_at DATETIME(3) NULL,
      PRIMARY KEY (id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE product_news (
      product_id BIGINT UNSIGNED NOT NULL,
      removed_at DATETIME(3) NULL,
      PRIMARY KEY (product_id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['product_news', 'products']) await sequelize.query(`DROP TABLE ${table}`);
};
