import { exitOnConfigError, loadConfig, url } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { z } from 'zod';
import { databaseMigrations, openDatabase } from './database.ts';

const usage = 'usage: node monolith/migrate.ts up | down [--to NAME | --all] | status\n';

const [command = '', ...options] = process.argv.slice(2);
const config = exitOnConfigError(() =>
  loadConfig('migrate', z.object({ DATABASE_URL: url(['mysql']), LOG_LEVEL: z.string().default('info') })),
);
const log = createLog({ name: 'migrate', level: config.LOG_LEVEL });
const database = openDatabase({ url: config.DATABASE_URL, log, poolMax: 2 });
try {
  process.exitCode = await run(command, options);
} catch (error) {
  log.fatal({ err: error }, 'the migration failed');
  process.exitCode = 1;
} finally {
  await database.close();
}

/** Runs one command; returns the exit code. `status` exits 3 when migrations are pending, so that scripts can tell. */
async function run(command: string, options: string[]): Promise<number> {
  const migrations = await databaseMigrations(database.sequelize, log);
  if (command === 'up' && options.length === 0) {
    const done = await migrations.up();
    print(done.length === 0 ? 'nothing to do' : done.map(({ name }) => `up    ${name}`).join('\n'));
    return 0;
  }
  if (command === 'down') {
    const to = target(options);
    if (to === undefined) return misused();
    const done = await migrations.down(to === 'last' ? {} : { to: to.name });
    print(done.length === 0 ? 'nothing to do' : done.map(({ name }) => `down  ${name}`).join('\n'));
    return 0;
  }
  if (command === 'status' && options.length === 0) {
    const executed = await migrations.executed();
    const pending = await migrations.pending();
    for (const { name } of executed) print(`done     ${name}`);
    for (const { name } of pending) print(`pending  ${name}`);
    return pending.length === 0 ? 0 : 3;
  }
  return misused();
}

function target(options: string[]): 'last' | { name: string | 0 } | undefined {
  const [option, name] = options;
  if (option === undefined) return 'last';
  if (option === '--all' && options.length === 1) return { name: 0 };
  if (option === '--to' && name !== undefined && options.length === 2) return { name };
  return undefined;
}

function misused(): number {
  process.stderr.write(usage);
  return 2;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
