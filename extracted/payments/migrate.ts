import { runMigrateCommand } from '@strangler/platform/mysql/migrate-command.ts';
import { migrationsDirectory } from './database.ts';

process.exitCode = await runMigrateCommand({
  name: 'payments',
  program: 'node extracted/payments/migrate.ts',
  directory: migrationsDirectory,
  words: process.argv.slice(2),
});
