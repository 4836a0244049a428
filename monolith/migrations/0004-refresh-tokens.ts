import type { MigrationArguments } from '../migration.ts';

export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query(`
    CREATE TABLE refresh_tokens (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      account_id BIGINT UNSIGNED NOT NULL,
      family_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      token_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      expires_at DATETIME(3) NOT NULL,
      used_at DATETIME(3) NULL,
      revoked_at DATETIME(3) NULL,
      created_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id),
      UNIQUE KEY refresh_tokens_hash (token_hash),
      KEY refresh_tokens_family (family_id),
      KEY refresh_tokens_expiry (expires_at),
      KEY refresh_tokens_account (account_id),
      CONSTRAINT refresh_tokens_account FOREIGN KEY (account_id) REFERENCES accounts (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('DROP TABLE refresh_tokens');
}
