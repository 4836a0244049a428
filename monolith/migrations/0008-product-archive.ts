import type { MigrationArguments } from '../migration.ts';

// A product that was ever ordered cannot be deleted: order lines refer to it. Deleting archives it instead.
export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('ALTER TABLE products ADD COLUMN archived_at DATETIME(3) NULL AFTER active');
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('ALTER TABLE products DROP COLUMN archived_at');
}
