import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { serviceTokenHeader } from '@strangler/platform/contracts/headers.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { openKeyFolder } from '@strangler/platform/service-trust/key-folder.ts';
import { createServiceTokens } from '@strangler/platform/service-trust/service-tokens.ts';
import { type Collector, startCollector } from '@strangler/platform/testing/collector.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { createConnection } from 'mysql2/promise';
import { repositoryRoot } from '../home/paths.ts';
import { describeMetrics } from '../observability/describe-metrics.ts';
import { describeTrace } from '../observability/describe-trace.ts';
import { runCommand } from '../process/run.ts';
import { downStack } from '../servers.ts';
import { bringToStage, startStages } from './stage.ts';
import { findSystem, operatorEnvironment, type System, startSystem } from './system.ts';

const instance = 'test-system';
const said: string[] = [];
const everyProcess = (env: Record<string, string>) =>
  Object.fromEntries(
    ['monolith', 'relay', 'applier', 'catalog', 'inventory', 'notifications', 'proxy'].map((kind) => [kind, env]),
  );
let system: System;
let collector: Collector;

beforeAll(async () => {
  collector = await startCollector();
  system = await startSystem({
    instance,
    workersPerProxy: 1,
    seedSize: 20,
    fresh: true,
    inventoryInstances: 1,
    notificationsInstances: 1,
    paymentsInstances: 1,
    ordersInstances: 1,
    env: everyProcess({ TRACING_URL: collector.url, LOG_LEVEL: 'debug', ACCESS_LOG: 'all' }),
    log: (line) => said.push(line),
  });
}, 600_000);
afterAll(async () => {
  await system?.stop();
  await downStack(instance, { purge: true });
  await collector?.close();
}, 400_000);

describeTrace(() => ({ system, collector }));
describeMetrics(() => ({ system }));

const program = (entry: string, args: string[] = []) =>
  runCommand(
    {
      file: process.execPath,
      args: [join(repositoryRoot, entry), ...args],
      env: { NODE_OPTIONS: '', STACK_INSTANCE: instance },
    },
    { timeoutMs: 120_000 },
  );

const products = async (origin: string, headers: Record<string, string> = {}): Promise<number> => {
  const response = await fetch(new URL('/api/products?limit=5', origin), { headers });
  expect(response.status).toBe(200);
  return ((await response.json()) as { items: unknown[] }).items.length;
};

describe('the example system', () => {
  test('answers through every proxy with the seeded shop, and directly nobody but operators', async () => {
    const { proxyUrls, catalogUrls, monolithUrl, keysFolder } = system;
    expect([proxyUrls.length, catalogUrls.length]).toEqual([2, 2]);
    for (const origin of [...proxyUrls, monolithUrl]) expect([origin, await products(origin)]).toEqual([origin, 5]);
    const ring = await openKeyFolder(keysFolder).ring('operator');
    const token = await createServiceTokens({ ring: () => ring, lifeMs: 60_000 }).tokenFor('catalog');
    for (const origin of catalogUrls) {
      expect([origin, (await fetch(new URL('/api/products', origin))).status]).toEqual([origin, 401]);
      expect([origin, await products(origin, { [serviceTokenHeader]: token })]).toEqual([origin, 5]);
    }
    expect(said).toContainEqual(
      expect.stringMatching(
        /^relay-1, relay-2, relay-catalog-1,.* applier-catalog-1, applier-catalog-2,.* catalog-1, catalog-2,.* proxy-1, proxy-2 ready/,
      ),
    );
    expect(said.at(-1)).toMatch(/^slice catalog at stage shadow after/);
  });

  test('is well, says strangler doctor: nothing of the slice that is under way is wrong', async () => {
    const command = {
      file: process.execPath,
      args: [join(repositoryRoot, 'migrations/cli/main.ts'), 'doctor', 'catalog', '--json'],
    };
    const env = { NODE_OPTIONS: '', ...operatorEnvironment(system) };
    const { code, stdout } = await runCommand({ ...command, env }, { timeoutMs: 60_000, outputLimit: 200_000 });
    const { checks } = JSON.parse(stdout) as { checks: { check: string; outcome: string; found: string }[] };
    // Of the machine that the test runs on.
    const wrong = checks.filter(({ check, outcome }) => outcome === 'fail' && check !== 'disk-space');
    expect([code, wrong]).toEqual([0, []]);
    for (const check of ['outbox-relay', 'broker-queues', 'fences-agree', 'proxies-agree', 'flags-sessions'])
      expect(checks).toContainEqual(expect.objectContaining({ check, outcome: 'ok' }));
  });

  test('is known to Consul: every instance is healthy', async () => {
    await eventually(async () => {
      for (const [service, count] of [
        ['catalog', 2],
        ['monolith', 1],
        ['strangler-proxy', 2],
      ] as const) {
        const answer = await fetch(new URL(`/v1/health/service/${service}?passing`, system.addresses.stack.consulUrl));
        expect([service, ((await answer.json()) as unknown[]).length]).toEqual([service, count]);
      }
    });
  });

  test('keeps its databases apart: neither account can read what the other has, and the mover can read both', async () => {
    const { databases } = system;
    const count = async (url: string, table: string) => {
      const connection = await createConnection({ uri: url });
      try {
        const [rows] = await connection.query(`SELECT COUNT(*) AS n FROM ${table}`);
        return Number((rows as { n: number }[])[0]?.n);
      } finally {
        connection.destroy();
      }
    };
    expect(await count(databases.shopUrl, 'shop.products')).toBe(20);
    expect(await count(databases.catalogUrl, 'catalog.products')).toBe(20);
    await expect(count(databases.shopUrl, 'catalog.products')).rejects.toThrow(/denied/);
    await expect(count(databases.catalogUrl, 'shop.products')).rejects.toThrow(/denied/);
    expect(await count(databases.relayUrl, 'shop.strangler_outbox_source')).toBe(1);
    await expect(count(databases.relayUrl, 'shop.products')).rejects.toThrow(/denied/);
    expect(await count(databases.mover.shopUrl, 'catalog.products')).toBe(20);
    expect(await count(databases.mover.catalogUrl, 'shop.products')).toBe(20);
  });

  test.each(['proxy-1', 'catalog-2', 'relay-1', 'applier-catalog-1', 'monolith', 'payment-provider'])(
    'has a %s that can be killed and comes back at the same address',
    async (name) => {
      const handle = system.process(name);
      const { pid, url } = handle;
      expect(handle.kill('SIGKILL')).toBe(true);
      await eventually(() => expect(handle.alive()).toBe(false));
      await handle.restart();
      await handle.waitReady();
      expect(handle.pid).not.toBe(pid);
      expect(handle.url).toBe(url);
      expect(findSystem(instance)?.complete).toBe(true);
    },
    60_000,
  );

  test('still carries what is written in the shop to the catalogue, whoever writes it', async () => {
    const { databases } = system;
    const [shop, catalog] = [createPool(databases.shopUrl), createPool(databases.catalogUrl)];
    try {
      await shop.query('UPDATE products SET price_cents = 4711 WHERE id = 7');
      await eventually(
        async () => {
          const [rows] = await catalog.query('SELECT price_cents FROM products WHERE id = 7');
          expect(rows).toEqual([{ price_cents: 4711 }]);
        },
        { withinMs: 60_000 },
      );
    } finally {
      await Promise.all([shop.end(), catalog.end()]);
    }
  }, 120_000);

  test('leaves a slice alone that is at the stage, or further', async () => {
    const commands: string[] = [];
    for (const stage of startStages) {
      await bringToStage(stage, {
        operator: { ...operatorEnvironment(system), STRANGLER_SOURCE: 'mysql://nobody:nothing@127.0.0.1:1/none' },
        say: (line) => commands.push(line),
        logFile: '/dev/null',
      });
    }
    expect(commands).toEqual([]);
  });

  test('names the processes that it has when it is asked for another', () => {
    expect(() => system.process('search-1')).toThrow(
      /search-1.*payment-provider,.* monolith, relay-1, relay-2, relay-catalog-1,.* applier-catalog-1, applier-catalog-2,.* catalog-1, catalog-2,.* proxy-1, proxy-2/,
    );
  });

  test('is found by npm start, which starts nothing twice and prints its addresses', async () => {
    const before = system.processes.map(({ pid }) => pid);
    const { code, stdout, stderr } = await program('stack/system/start.ts', ['--stage', 'shadow', '--json']);
    expect([code, stderr]).toEqual([0, expect.stringContaining('it runs already')]);
    expect(JSON.parse(stdout)).toEqual(system.addresses);
    expect(system.processes.map(({ pid }) => pid)).toEqual(before);
  });

  test("gives npm start --env's reader what strangler needs, and the process ids", async () => {
    const { stdout } = await program('stack/system/start.ts', ['--env']);
    const { addresses } = system;
    expect(stdout.split('\n').map((line) => line.split('=')[0])).toEqual(
      expect.arrayContaining([
        ...['CONSUL_URL', 'OPERATOR_TOKEN', 'STRANGLER_SLICES', 'RABBITMQ_URL'].map((name) => `export ${name}`),
        ...['RELAY_1', 'APPLIER_CATALOG_2', 'PROXY_1'].map((name) => `export ${name}_PID`),
      ]),
    );
    expect(stdout).toContain(`export STRANGLER_SOURCE=${addresses.databases.mover.shopUrl}\n`);
    expect(stdout).toContain(`export STRANGLER_TARGET=${addresses.databases.mover.catalogUrl}\n`);
  });

  test('is ended by npm stop, with its servers, and leaves no process behind', async () => {
    const { code, stderr } = await program('stack/system/stop.ts');
    // Those in front first, and those that carry changes after those that make them.
    const order = [/^proxy-\d, proxy-\d, /, /monolith/, /(applier-[\w-]+, ){4}(relay-[\w-]+, ){5}/];
    for (const part of [...order, /(payment-provider|mailbox) ended$/m]) expect(stderr).toMatch(part);
    expect(code).toBe(0);
    expect(system.processes.filter((handle) => handle.alive())).toEqual([]);
    expect(findSystem(instance)).toBeUndefined();
    for (const origin of [...system.proxyUrls, system.addresses.stack.consulUrl]) {
      await expect(fetch(origin)).rejects.toThrow();
    }
  }, 400_000);

  test.each([[['--size', 'many']], [['--stage', 'writes']], [['--nonsense']]])(
    'refuses npm start with %j',
    async (args) => {
      expect(await program('stack/system/start.ts', args)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('Usage: npm start'),
      });
    },
  );
});
