import { runMigrateCommand } from '@strangler/platform/mysql/migrate-command.ts';
import { migrationsDirectory } from './database.ts';

process.exitCode = await runMigrateCommand({
  name: 'orders',
  program: 'node extracted/orders/migrate.ts',
  directory: migrationsDirectory,
  words: process.argv.slice(2),
});
