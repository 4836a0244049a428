import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';
import { dropOutbox, installOutbox, type Queryable, sourceTable } from '@strangler/platform/outbox/schema.ts';

// For what the orders tell of. Where the pipe has installed one before, it stays as it is, but from now on it is
// the orders' and does not go with the pipe.
export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await installOutbox(queryable(sequelize));
  await sequelize.query(`UPDATE ${sourceTable} SET installed_by = 'application'`);
};

// Takes with it what was not published yet.
export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  await dropOutbox(queryable(sequelize));
};

type Context = Parameters<SchemaMigration>[0]['context'];

function queryable(sequelize: Context['sequelize']): Queryable {
  const query = (sql: string, values: unknown[] = []) => sequelize.query(sql, { replacements: values });
  return { query } as unknown as Queryable;
}
