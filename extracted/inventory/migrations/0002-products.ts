import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// Products are another's: of each no more is kept than whether there is stock to speak of. The pipe writes it, nobody else.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE products (
      id BIGINT UNSIGNED NOT NULL,
      archived_at DATETIME(3) NULL,
      PRIMARY KEY (id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query('DROP TABLE products');
};
