/** Fills an empty shop. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fillShop } from '../system/prepare.ts';

const { DATABASE_URL: shopUrl, SEED_SIZE: size = '500' } = process.env;

if (!shopUrl || !/^\d+$/.test(size)) {
  process.stderr.write('seed: DATABASE_URL and SEED_SIZE (a number) have to be set\n');
  process.exitCode = 2;
} else {
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  await fillShop({ databases: { shopUrl }, seedSize: Number(size), say, logFile: join(tmpdir(), 'seed.log') });
}
