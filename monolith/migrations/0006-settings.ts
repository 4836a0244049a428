import type { MigrationArguments } from '../migration.ts';

export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query(`
    CREATE TABLE settings (
      \`key\` VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      value TEXT NOT NULL,
      updated_at DATETIME(3) NOT NULL,
      updated_by BIGINT UNSIGNED NULL,
      PRIMARY KEY (\`key\`),
      KEY settings_updated_by (updated_by),
      CONSTRAINT settings_updated_by FOREIGN KEY (updated_by) REFERENCES accounts (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('DROP TABLE settings');
}
