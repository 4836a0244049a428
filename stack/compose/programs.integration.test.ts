import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { freshDatabase } from '@strangler/platform/testing/servers.ts';
import { repositoryRoot } from '../home/paths.ts';
import { runCommand } from '../process/run.ts';

const node = process.execPath;
const run = (script: string, args: string[] = [], env: Record<string, string> = {}) =>
  runCommand(
    {
      file: node,
      args: [join(repositoryRoot, 'stack/compose', script), ...args],
      env: { NODE_OPTIONS: '', ...env },
      cwd: repositoryRoot,
    },
    { timeoutMs: 60_000 },
  );

describe('with-own-address.mjs', () => {
  test("runs a program with the machine's own address where it says container, as if it had been started itself", async () => {
    const own = Object.values(networkInterfaces())
      .flat()
      .find((one) => one?.family === 'IPv4' && !one.internal)?.address;
    const entry = join(repositoryRoot, 'stack/compose/is-ready.mjs');
    const { code, stderr } = await run(
      'with-own-address.mjs',
      [entry, 'not a url'],
      own === undefined ? {} : { HOST: 'container' },
    );
    // The program saw its own first argument.
    expect([code, stderr]).toEqual([1, expect.stringContaining('not a url')]);
  });

  test('without a program says so', async () => {
    expect((await run('with-own-address.mjs')).stderr).toContain('expected the program to run');
  });
});

describe('databases.ts', () => {
  test('names what it has not been told', async () => {
    const { code, stderr } = await run('databases.ts', [], { ADMIN_DATABASE_URL: '', SHOP_PASSWORD: 'x' });
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('ADMIN_DATABASE_URL, CATALOG_PASSWORD, STRANGLER_PASSWORD'),
    ]);
  });
});

describe('seed.ts', () => {
  const clean: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const drop of clean.splice(0)) await drop();
  });

  test('fills a shop and its copy once, and leaves them as they are afterwards', async () => {
    const [shop, catalog] = [await freshDatabase('shop'), await freshDatabase('catalog')];
    clean.push(shop.drop, catalog.drop);
    const migrate = (entry: string, url: string) =>
      runCommand(
        {
          file: node,
          args: [join(repositoryRoot, entry), 'up'],
          env: { NODE_OPTIONS: '', LOG_LEVEL: 'warn', DATABASE_URL: url },
        },
        { timeoutMs: 60_000 },
      );
    expect((await migrate('monolith/migrate.ts', shop.url)).code).toBe(0);
    expect((await migrate('extracted/catalog/migrate.ts', catalog.url)).code).toBe(0);
    const env = { SHOP_DATABASE_URL: shop.adminUrl, CATALOG_DATABASE_URL: catalog.adminUrl, SEED_SIZE: '20' };
    const first = await run('seed.ts', [], env);
    expect([first.code, first.stdout]).toEqual([0, expect.stringContaining('shop of 20 products and its copy ready')]);
    const second = await run('seed.ts', [], env);
    expect([second.code, second.stdout]).toEqual([0, expect.stringContaining('not empty and stays as it is')]);
  });
});
