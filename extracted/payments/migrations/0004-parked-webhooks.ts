import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// Webhooks about payments that are not here yet. `next_try_at` is both the time of the next try and the lease of the one under way.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE parked_webhooks (
      event_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      reference VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      body MEDIUMTEXT NOT NULL,
      tries INT UNSIGNED NOT NULL DEFAULT 0,
      next_try_at DATETIME(3) NOT NULL,
      parked_at DATETIME(3) NOT NULL,
      PRIMARY KEY (event_id),
      KEY parked_webhooks_due (next_try_at),
      KEY parked_webhooks_by_age (parked_at)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query('DROP TABLE parked_webhooks');
};
