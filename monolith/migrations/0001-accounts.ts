import type { MigrationArguments } from '../migration.ts';

export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query(`
    CREATE TABLE accounts (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      email VARCHAR(254) NOT NULL,
      display_name VARCHAR(100) NOT NULL,
      role VARCHAR(16) NOT NULL DEFAULT 'customer',
      password_hash VARCHAR(255) NOT NULL,
      created_at DATETIME(3) NOT NULL,
      updated_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      UNIQUE KEY accounts_email (email)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('DROP TABLE accounts');
}
