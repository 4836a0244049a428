import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { verifyPassword } from '@strangler/monolith/auth/password.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { change, select } from '@strangler/platform/mysql/statements.ts';
import { freshDatabase } from '@strangler/platform/testing/servers.ts';
import { repositoryRoot } from '../home/paths.ts';
import { runCommand } from '../process/run.ts';
import { ordersAccountEmail } from '../system/definitions.ts';

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
      expect.stringContaining(
        'ADMIN_DATABASE_URL, CATALOG_PASSWORD, STRANGLER_PASSWORD, RELAY_PASSWORD, CATALOG_RELAY_PASSWORD, INVENTORY_PASSWORD',
      ),
    ]);
  });
});

describe('seed.ts', () => {
  const clean: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const drop of clean.splice(0)) await drop();
  });

  test('fills a shop once and leaves it as it is afterwards; then orders-account.ts gives the orders their account', async () => {
    const shop = await freshDatabase('shop');
    clean.push(shop.drop);
    const migrated = await runCommand(
      {
        file: node,
        args: [join(repositoryRoot, 'monolith/migrate.ts'), 'up'],
        env: { NODE_OPTIONS: '', LOG_LEVEL: 'warn', DATABASE_URL: shop.url },
      },
      { timeoutMs: 60_000 },
    );
    expect(migrated.code).toBe(0);
    const env = { DATABASE_URL: shop.url, SEED_SIZE: '20' };
    const first = await run('seed.ts', [], env);
    expect([first.code, first.stdout]).toEqual([0, expect.stringContaining('shop of 20 products ready')]);
    const second = await run('seed.ts', [], env);
    expect([second.code, second.stdout]).toEqual([0, expect.stringContaining('not empty and stays as it is')]);

    // The account of the orders comes after it, to be logged in with by the password that was given last, and is nobody's who was there.
    const shopPool = createPool(shop.url, { connectionLimit: 1 });
    clean.unshift(() => shopPool.end());
    const accounts = () =>
      select<{ role: string; password_hash: string }>(
        shopPool,
        'SELECT role, password_hash FROM accounts WHERE email = ?',
        [ordersAccountEmail],
      );
    for (const password of ['the first of them', 'the second of them']) {
      const given = await run('orders-account.ts', [], { DATABASE_URL: shop.url, SERVICE_PASSWORD: password });
      expect([given.code, given.stdout + given.stderr]).toEqual([0, "the orders' account at the shop is there\n"]);
      const [account, ...others] = await accounts();
      expect([account?.role, others]).toEqual(['admin', []]);
      expect(await verifyPassword(password, account?.password_hash ?? '')).toBe(true);
    }
    await change(shopPool, "UPDATE accounts SET role = 'customer' WHERE email = ?", [ordersAccountEmail]);
    const before = await accounts();
    const refused = await run('orders-account.ts', [], {
      DATABASE_URL: shop.url,
      SERVICE_PASSWORD: 'the third of them',
    });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('to be an administrator')]);
    expect(await accounts()).toEqual(before);
  });
});

describe('stage.ts', () => {
  const operator = {
    STRANGLER_SOURCE: 'mysql://u:p@127.0.0.1:1/d',
    STRANGLER_TARGET: 'mysql://u:p@127.0.0.1:1/d',
    STRANGLER_SLICES: '/slices',
    RABBITMQ_URL: 'amqp://127.0.0.1:1',
    REDIS_URL: 'redis://127.0.0.1:1',
  };

  test('names what it has not been told, and a stage that it does not know', async () => {
    const untold = await run('stage.ts', [], { ...operator, STRANGLER_FLAGS: '' });
    expect([untold.code, untold.stderr]).toEqual([2, expect.stringContaining('not set: STRANGLER_FLAGS')]);
    const unknown = await run('stage.ts', [], { ...operator, STRANGLER_FLAGS: 'file:///tmp/none', STAGE: 'canary' });
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('monolith, sync, shadow')]);
  });

  test('leaves a slice that is at the stage as it is: no database is asked', async () => {
    const env = { ...operator, STRANGLER_FLAGS: 'file:///tmp/no-such-flags.json', STAGE: 'monolith' };
    expect(await run('stage.ts', [], env)).toMatchObject({ code: 0, stdout: '' });
  });
});
