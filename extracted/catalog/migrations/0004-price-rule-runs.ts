import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// What makes a price rule safe to send again: a run of it is written down in the transaction that changes the prices.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE price_rule_runs (
      run VARCHAR(64) NOT NULL,
      rule VARCHAR(64) NOT NULL,
      changed INT UNSIGNED NOT NULL,
      applied_at DATETIME(3) NOT NULL,
      PRIMARY KEY (run, rule),
      KEY price_rule_runs_age (applied_at)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query('DROP TABLE price_rule_runs');
};
