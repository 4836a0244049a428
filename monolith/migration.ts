import type { QueryInterface } from 'sequelize';

/** What a schema migration is run with. */
export type MigrationArguments = { context: QueryInterface };
