import { exitOnConfigError, loadConfig, url } from '@strangler/platform/config.ts';
import { Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { SEED_PASSWORD } from '../modules/accounts/seed.ts';
import { progressDisplay } from './progress.ts';
import { DatabaseNotEmpty, seed } from './seed.ts';

const program = new Command('seed')
  .description('Fills the database at DATABASE_URL with a shop: the same one for the same size and seed.')
  .option('--size <products>', 'number of products', integer({ min: 1, max: 10_000_000 }), 1000)
  .option('--seed <number>', 'another number gives another shop', integer({ min: 0, max: 2 ** 31 }), 42)
  .option('--reset', 'delete everything that is in the database first', false)
  .parse();

const { size, seed: number, reset } = program.opts<{ size: number; seed: number; reset: boolean }>();
const config = exitOnConfigError(() => loadConfig('seed', z.object({ DATABASE_URL: url(['mysql']) })));
const display = progressDisplay(process.stderr);
try {
  const summary = await seed({
    url: config.DATABASE_URL,
    size,
    seed: number,
    reset,
    onProgress: (progress) => display.update(progress),
  });
  display.stop();
  for (const { table, rows } of summary.tables) process.stdout.write(`${String(rows).padStart(10)}  ${table}\n`);
  process.stdout.write(`${String(summary.rows).padStart(10)}  rows in ${(summary.durationMs / 1000).toFixed(1)} s\n`);
  process.stdout.write(`Log in as admin@shop.example or customer1@shop.example with "${SEED_PASSWORD}".\n`);
} catch (error) {
  display.stop();
  process.stderr.write(`${explain(error)}\n`);
  process.exitCode = error instanceof DatabaseNotEmpty ? 3 : 1;
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}\n${error.cause.message}` : error.message;
}

function integer({ min, max }: { min: number; max: number }) {
  return (text: string): number => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected an integer from ${min} to ${max}.`);
  };
}
