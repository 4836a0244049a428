import type { MigrationArguments } from '../migration.ts';

// The shop writes every notification down; its streams tell only those that it left to nobody else.
export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query(
    `ALTER TABLE notifications ADD COLUMN told_by ENUM('monolith','service') NOT NULL DEFAULT 'monolith'`,
  );
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('ALTER TABLE notifications DROP COLUMN told_by');
}
