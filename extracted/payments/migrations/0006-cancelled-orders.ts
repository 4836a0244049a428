import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';
import { dropInbox, installInbox, type Queryable } from '@strangler/platform/outbox/schema.ts';

// Orders of which it was heard that they are cancelled: a charge that comes after that is refused.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await installInbox(queryable(sequelize));
  await sequelize.query(`
    CREATE TABLE cancelled_orders (
      order_id BIGINT UNSIGNED NOT NULL,
      heard_at DATETIME(3) NOT NULL,
      PRIMARY KEY (order_id),
      KEY cancelled_orders_by_age (heard_at)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query('DROP TABLE cancelled_orders');
  await dropInbox(queryable(sequelize));
};

type Context = Parameters<SchemaMigration>[0]['context'];

function queryable(sequelize: Context['sequelize']): Queryable {
  const query = (sql: string, values: unknown[] = []) => sequelize.query(sql, { replacements: values });
  return { query } as unknown as Queryable;
}
