import { dropInbox, installInbox, type Queryable } from '@strangler/platform/outbox/schema.ts';
import type { MigrationArguments } from '../migration.ts';

// What is to be done about an order's money where another keeps it, and the news of it that were heard.
export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query(`
    CREATE TABLE payment_errands (
      id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
      order_id BIGINT UNSIGNED NOT NULL,
      kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      account_id BIGINT UNSIGNED NOT NULL,
      amount_cents BIGINT UNSIGNED NOT NULL,
      currency CHAR(3) NOT NULL,
      created_at DATETIME(3) NOT NULL,
      done_at DATETIME(3) NULL,
      PRIMARY KEY (id),
      UNIQUE KEY payment_errands_of_order (order_id, kind),
      KEY payment_errands_open (done_at, id),
      CONSTRAINT payment_errands_order FOREIGN KEY (order_id) REFERENCES orders (id)
        ON DELETE RESTRICT ON UPDATE RESTRICT
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
  `);
  await installInbox(queryable(sequelize));
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await dropInbox(queryable(sequelize));
  await sequelize.query('DROP TABLE payment_errands');
}

function queryable(sequelize: MigrationArguments['context']['sequelize']): Queryable {
  const query = (sql: string, values: unknown[] = []) => sequelize.query(sql, { replacements: values });
  return { query } as unknown as Queryable;
}
