/** Fills an empty shop, and the catalogue's database with a copy of what is in it. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fillDatabases } from '../system/prepare.ts';

const { SHOP_DATABASE_URL: shopUrl, CATALOG_DATABASE_URL: catalogUrl, SEED_SIZE: size = '500' } = process.env;

if (!shopUrl || !catalogUrl || !/^\d+$/.test(size)) {
  process.stderr.write('seed: SHOP_DATABASE_URL, CATALOG_DATABASE_URL and SEED_SIZE (a number) have to be set\n');
  process.exitCode = 2;
} else {
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  await fillDatabases({
    databases: { shopUrl, catalogUrl, mover: { shopUrl, catalogUrl } },
    seedSize: Number(size),
    say,
    logFile: join(tmpdir(), 'seed.log'),
  });
}
