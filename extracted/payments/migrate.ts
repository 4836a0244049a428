import { exitOnConfigError, loadConfig, url } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { schemaMigrations } from '@strangler/platform/mysql/schema-migrations.ts';
import { z } from 'zod';
import { migrationsDirectory } from './database.ts';

const usage = 'usage: node extracted/payments/migrate.ts up | down [--all] | status\n';

const config = exitOnConfigError(() =>
  loadConfig('payments migrate', z.object({ DATABASE_URL: url(['mysql']), LOG_LEVEL: z.string().default('warn') })),
);
const log = createLog({ name: 'payments-migrate', level: config.LOG_LEVEL });
const migrations = schemaMigrations({ url: config.DATABASE_URL, directory: migrationsDirectory, log });
try {
  process.exitCode = await run(process.argv.slice(2).join(' '));
} catch (error) {
  log.fatal({ err: error }, 'the migration failed');
  process.exitCode = 1;
} finally {
  await migrations.close();
}

/** Runs one command; returns the exit code. `status` exits 3 when migrations are pending, so that scripts can tell. */
async function run(command: string): Promise<number> {
  switch (command) {
    case 'up':
      return report('up', await migrations.up());
    case 'down':
      return report('down', await migrations.down());
    case 'down --all':
      return report('down', await migrations.down({ to: 0 }));
    case 'status': {
      const pending = await migrations.pending();
      for (const { name } of await migrations.executed()) print(`done     ${name}`);
      for (const { name } of pending) print(`pending  ${name}`);
      return pending.length === 0 ? 0 : 3;
    }
    default:
      process.stderr.write(usage);
      return 2;
  }
}

function report(direction: string, done: readonly { name: string }[]): number {
  print(done.length === 0 ? 'nothing to do' : done.map(({ name }) => `${direction.padEnd(5)} ${name}`).join('\n'));
  return 0;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
