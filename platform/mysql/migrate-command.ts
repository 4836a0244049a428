import { z } from 'zod';
import { exitOnConfigError, loadConfig, url } from '../config.ts';
import { createLog } from '../log.ts';
import { type SchemaMigrations, schemaMigrations } from './schema-migrations.ts';

export type MigrateCommand = {
  /** For the log and for messages, such as `catalog`. */
  name: string;
  /** How it is called, such as `node extracted/catalog/migrate.ts`. */
  program: string;
  /** Of the migrations. */
  directory: string;
  words: readonly string[];
};

/**
 * The program that brings the schema of DATABASE_URL up or down. Returns the exit code: 1 where it failed, 2 for another
 * word, 3 from `status` while migrations are pending, so that scripts can tell.
 */
export async function runMigrateCommand({ name, program, directory, words }: MigrateCommand): Promise<number> {
  const config = exitOnConfigError(() =>
    loadConfig(`${name} migrate`, z.object({ DATABASE_URL: url(['mysql']), LOG_LEVEL: z.string().default('warn') })),
  );
  const log = createLog({ name: `${name}-migrate`, level: config.LOG_LEVEL });
  const migrations = schemaMigrations({ url: config.DATABASE_URL, directory, log });
  try {
    return await run(migrations, words.join(' '), program);
  } catch (error) {
    log.fatal({ err: error }, 'the migration failed');
    return 1;
  } finally {
    await migrations.close();
  }
}

async function run(migrations: SchemaMigrations, command: string, program: string): Promise<number> {
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
      process.stderr.write(`usage: ${program} up | down [--all] | status\n`);
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
