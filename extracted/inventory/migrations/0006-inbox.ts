import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';
import { dropInbox, installInbox, type Queryable } from '@strangler/platform/outbox/schema.ts';

// For orders whose cancellation is told: each has its effect once.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await installInbox(queryable(sequelize));
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  await dropInbox(queryable(sequelize));
};

type Context = Parameters<SchemaMigration>[0]['context'];

function queryable(sequelize: Context['sequelize']): Queryable {
  const query = (sql: string, values: unknown[] = []) => sequelize.query(sql, { replacements: values });
  return { query } as unknown as Queryable;
}
