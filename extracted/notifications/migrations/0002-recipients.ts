import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// Accounts are the shop's. `recipients` is what the pipe copies of them, `told_accounts` what their events have said: with either
// of them alone there is an address to write to, and of two names the later one counts. `preferences` are this service's own.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE recipients (
      id BIGINT UNSIGNED NOT NULL,
      email VARCHAR(254) NOT NULL,
      display_name VARCHAR(100) NOT NULL,
      updated_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE told_accounts (
      id BIGINT UNSIGNED NOT NULL,
      email VARCHAR(254) NULL,
      display_name VARCHAR(100) NOT NULL,
      told_at DATETIME(3) NOT NULL,
      PRIMARY KEY (id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE preferences (
      account_id BIGINT UNSIGNED NOT NULL,
      locale VARCHAR(8) NOT NULL,
      email ENUM('each','digest','none') NOT NULL,
      PRIMARY KEY (account_id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['preferences', 'told_accounts', 'recipients']) await sequelize.query(`DROP TABLE ${table}`);
};
