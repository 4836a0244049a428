import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// The first handover stands for "before any", and is the row that whoever decides about an event locks.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    CREATE TABLE settings (
      name VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      value VARCHAR(1000) NOT NULL,
      version INT UNSIGNED NOT NULL,
      changed_by VARCHAR(200) NOT NULL,
      changed_at DATETIME(3) NOT NULL,
      PRIMARY KEY (name)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(`
    CREATE TABLE delivery_handovers (
      seq INT UNSIGNED NOT NULL,
      side ENUM('monolith','service') NOT NULL,
      from_epoch INT UNSIGNED NOT NULL,
      from_id BIGINT UNSIGNED NOT NULL,
      changed_by VARCHAR(200) NOT NULL,
      changed_at DATETIME(3) NOT NULL,
      reason VARCHAR(1000) NOT NULL,
      PRIMARY KEY (seq)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await sequelize.query(
    "INSERT INTO delivery_handovers VALUES (0, 'monolith', 0, 0, 'the migration', UTC_TIMESTAMP(3), 'before any handover')",
  );
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const table of ['delivery_handovers', 'settings']) await sequelize.query(`DROP TABLE ${table}`);
};
