import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// Accounts are another's: of each author only the name is kept, once, as the shop has it now. Under every review it was the
// name of the day on which the review was written.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE authors (
      id BIGINT UNSIGNED NOT NULL,
      display_name VARCHAR(100) NOT NULL,
      PRIMARY KEY (id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    INSERT INTO authors (id, display_name)
    SELECT r.author_id, r.author_name
      FROM reviews r
      JOIN (SELECT MAX(id) AS id FROM reviews GROUP BY author_id) AS newest ON newest.id = r.id
  `);
  await sequelize.query('ALTER TABLE reviews DROP COLUMN author_name');
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query("ALTER TABLE reviews ADD COLUMN author_name VARCHAR(100) NOT NULL DEFAULT '' AFTER author_id");
  await sequelize.query('UPDATE reviews r JOIN authors a ON a.id = r.author_id SET r.author_name = a.display_name');
  await sequelize.query('ALTER TABLE reviews ALTER COLUMN author_name DROP DEFAULT');
  await sequelize.query('DROP TABLE authors');
};
