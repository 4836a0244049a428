import { appendFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from 'redis';
import type { StackAddresses } from '../addresses.ts';
import { repositoryRoot } from '../home/paths.ts';
import { runCommand } from '../process/run.ts';
import type { SystemDatabases } from './definitions.ts';
import { pinnedNode } from './process-handle.ts';
import { giveOrdersAccount } from './shop-account.ts';

/** Services with a database of their own. */
export type ServiceName = 'catalog' | 'inventory' | 'notifications' | 'payments' | 'orders';

export type Preparation = {
  databases: SystemDatabases;
  /** Those whose schema is brought up to date. */
  services: readonly ServiceName[];
  /** Of the orders' account at the shop, where there are orders. */
  ordersAccountPassword: string;
  seedSize: number;
  say: (line: string) => void;
  /** What the programs print. */
  logFile: string;
  signal?: AbortSignal | undefined;
};

const STEP_TIMEOUT_MS = 600_000;
/** The seed's exit code for a database that holds a shop already. */
const SHOP_NOT_EMPTY = 3;

/** Brings the schemas up to date, and fills the shop where it is empty. */
export async function prepareData(preparation: Preparation): Promise<void> {
  const { databases, services } = preparation;
  const urls: Record<ServiceName, string> = {
    catalog: databases.catalogUrl,
    inventory: databases.inventoryUrl,
    notifications: databases.notificationsUrl,
    payments: databases.paymentsUrl,
    orders: databases.ordersUrl,
  };
  await Promise.all([
    step(preparation, 'monolith/migrate.ts', ['up'], { DATABASE_URL: databases.shopUrl }),
    ...services.map((service) =>
      step(preparation, `extracted/${service}/migrate.ts`, ['up'], { DATABASE_URL: urls[service] }),
    ),
  ]);
  if (preparation.seedSize > 0) await fillShop(preparation);
  // Not before: the seed takes a shop in which somebody has an account for one that is not empty.
  if (services.includes('orders')) await giveOrdersAccount(databases.shopUrl, preparation.ordersAccountPassword);
}

/** Fills a shop that is empty. */
export async function fillShop(
  preparation: Omit<Preparation, 'databases' | 'services' | 'ordersAccountPassword'> & {
    databases: { shopUrl: string };
  },
) {
  const { databases, seedSize, say } = preparation;
  const begun = performance.now();
  const seeded = await step(
    preparation,
    'monolith/seed/main.ts',
    ['--size', String(seedSize)],
    { DATABASE_URL: databases.shopUrl },
    [SHOP_NOT_EMPTY],
  );
  const took = `${((performance.now() - begun) / 1000).toFixed(1)} s`;
  say(
    seeded === SHOP_NOT_EMPTY
      ? 'the shop is not empty and stays as it is'
      : `shop of ${seedSize} products ready after ${took}`,
  );
}

/** Throws away what flags, caches and registrations of earlier systems have left on the servers. */
export async function forgetState(stack: StackAddresses): Promise<void> {
  const removed = await fetch(new URL('/v1/kv/strangler/?recurse=true', stack.consulUrl), {
    method: 'DELETE',
    signal: AbortSignal.timeout(10_000),
  });
  if (!removed.ok) throw new Error(`Consul would not delete the flags: ${removed.status} ${await removed.text()}`);
  const client = createClient({ url: stack.redisUrl, socket: { reconnectStrategy: false } });
  client.on('error', () => {}); // The rejected call says the same.
  await client.connect();
  try {
    for (const pattern of ['shop:*', 'catalog:*', 'notifications:*', 'strangler:*']) {
      for await (const keys of client.scanIterator({ MATCH: pattern, COUNT: 1_000 })) {
        if (keys.length > 0) await client.unlink(keys);
      }
    }
  } finally {
    client.destroy();
  }
}

async function step(
  { logFile, signal }: Pick<Preparation, 'logFile' | 'signal'>,
  entry: string,
  args: string[],
  env: Record<string, string>,
  alsoFine: readonly number[] = [],
): Promise<number> {
  const file = join(repositoryRoot, entry);
  if (!existsSync(file)) throw new Error(`${entry} is not there`);
  const result = await runCommand(
    {
      file: pinnedNode(),
      args: [file, ...args],
      cwd: repositoryRoot,
      env: { NODE_OPTIONS: '', LOG_LEVEL: 'warn', ...env },
    },
    { timeoutMs: STEP_TIMEOUT_MS, outputLimit: 100_000, signal },
  );
  signal?.throwIfAborted();
  appendFileSync(logFile, `${entry}\n${result.stdout}${result.stderr}`, { mode: 0o600 });
  if (result.code !== null && [0, ...alsoFine].includes(result.code)) return result.code;
  const tail = `${result.stdout}\n${result.stderr}`
    .trim()
    .split('\n')
    .slice(-10)
    .map((line) => `    ${line}`);
  throw new Error([`${entry} ended with ${result.code ?? result.signal}; ${logFile} has it all:`, ...tail].join('\n'));
}
