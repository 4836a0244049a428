import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// Orders whose cancellation nobody directs: what was heard of each. It is written in the transaction of the cancellation, and by whoever
// hears the others' answers.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE cancellations (
      order_id BIGINT UNSIGNED NOT NULL,
      stock VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      payment VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      told_at DATETIME(3) NOT NULL,
      heard_at DATETIME(3) NULL,
      ended_at DATETIME(3) NULL,
      PRIMARY KEY (order_id),
      KEY cancellations_open (ended_at, told_at)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query('DROP TABLE cancellations');
};
