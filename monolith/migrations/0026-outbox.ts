import { dropOutbox, installOutbox, type Queryable, sourceTable } from '@strangler/platform/outbox/schema.ts';
import type { Sequelize } from 'sequelize';
import type { MigrationArguments } from '../migration.ts';

// Where something else has installed the outbox before, it stays as it is, with what it holds; but from now on it is the shop's, and
// may no longer go with what has brought it.
export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await installOutbox(queryable(sequelize));
  await sequelize.query(`UPDATE ${sourceTable} SET installed_by = 'application'`);
}

// Takes with it what was not published yet.
export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await dropOutbox(queryable(sequelize));
}

function queryable(sequelize: Sequelize): Queryable {
  const query = (sql: string, values: unknown[] = []) => sequelize.query(sql, { replacements: values });
  return { query } as unknown as Queryable;
}
