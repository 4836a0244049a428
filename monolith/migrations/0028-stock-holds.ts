import type { MigrationArguments } from '../migration.ts';

// What is held for a sale is written down before there is an order, and each reservation once.
export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query(
    `ALTER TABLE stock_errands MODIFY order_id BIGINT UNSIGNED NULL,
      ADD UNIQUE KEY stock_errands_of_reservation (reservation_id)`,
  );
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query('DELETE FROM stock_errands WHERE order_id IS NULL AND done_at IS NOT NULL');
  await sequelize.query(
    `ALTER TABLE stock_errands MODIFY order_id BIGINT UNSIGNED NOT NULL, DROP KEY stock_errands_of_reservation`,
  );
}
