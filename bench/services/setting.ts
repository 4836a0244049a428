import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { migrateUp as migrateCatalog } from '@strangler/catalog/database.ts';
import { fillCatalogue } from '@strangler/e2e/parity/fill-catalogue.ts';
import { migrateUp as migrateInventory } from '@strangler/inventory/database.ts';
import { startTestIssuer, type TestIssuer } from '@strangler/inventory/testing/issuer.ts';
import { seed } from '@strangler/monolith/seed/seed.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { eventually, freePort, freshDatabase } from '@strangler/platform/testing/servers.ts';
import { openServers } from '../pipe/servers.ts';
import { startProcess, stopProcess } from '../processes.ts';
import type { LoadTargets } from './load.ts';
import { type ServiceName, serviceNames } from './works.ts';

/** One instance of each service, with data, on real servers. */
export type Setting = {
  engine: string;
  targets: LoadTargets;
  pids: Record<ServiceName, number>;
  issuer: TestIssuer;
  close(): Promise<void>;
};

const products = 2_000;
/** Asked for in turn: more than callers at once, few enough to be all in the cache. */
const askedProducts = 400;
const askedPages = 40;
const itemsOfAPage = 20;
const mainOf = (folder: string): string => fileURLToPath(new URL(`../../extracted/${folder}/main.ts`, import.meta.url));

/** Brings servers up, fills the databases, and starts the services, all on `core` where one is given. */
export const openSetting = async (
  instance: string,
  core: number | null,
  say: (line: string) => void,
): Promise<Setting> => {
  const closers: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const servers = await openServers(instance, say);
    closers.push(servers.close);
    process.env.TEST_STACK = JSON.stringify(servers.addresses);
    const log = createLog({ name: 'bench', level: 'fatal' });
    const open = async (label: string) => {
      const database = await freshDatabase(label);
      closers.push(() => database.drop());
      return database;
    };
    const [shop, catalog, inventory] = [await open('bench_shop'), await open('bench_cat'), await open('bench_inv')];
    say(`${products} products`);
    await Promise.all([
      seed({ url: shop.url, size: products, seed: 7, log }),
      migrateCatalog(catalog.url, log),
      migrateInventory(inventory.url, log),
    ]);
    await fillCatalogue({ sourceUrl: shop.adminUrl, targetUrl: catalog.adminUrl, log });
    const stockIds = await fillStock(inventory.url);

    const issuer = await startTestIssuer();
    closers.push(() => issuer.stop());
    const common = { JWKS_URL: `${issuer.url}/.well-known/jwks.json`, LOG_LEVEL: 'error', NODE_ENV: 'production' };
    const redis = { REDIS_URL: servers.addresses.redisUrl, REDIS_PREFIX: `${catalog.name}:` };
    // The pages of the cache are built anew behind the answer when they are no longer fresh; within a run they stay so.
    const cached = { ...redis, CACHE_FRESH: '10m', CACHE_KEEP: '20m', CACHE_TIMEOUT: '1s' };
    const environments: Record<ServiceName, Record<string, string>> = {
      catalog: { DATABASE_URL: catalog.url },
      catalogCached: { DATABASE_URL: catalog.url, ...cached },
      inventory: { DATABASE_URL: inventory.url, SWEEP_EVERY: '10m' },
    };
    const services = {} as LoadTargets['services'];
    const pids = {} as Record<ServiceName, number>;
    const running: ChildProcess[] = [];
    closers.push(() => Promise.all(running.map(stopProcess)));
    for (const name of serviceNames) {
      const [port, grpcPort] = [await freePort(), await freePort()];
      services[name] = { url: `http://127.0.0.1:${port}`, grpcAddress: `127.0.0.1:${grpcPort}` };
      const environment = { ...common, ...environments[name], PORT: String(port), GRPC_PORT: String(grpcPort) };
      const main = mainOf(name === 'inventory' ? 'inventory' : 'catalog');
      const child = startProcess({ command: process.execPath, arguments: [main], environment }, core);
      running.push(child);
      pids[name] = child.pid ?? 0;
    }
    for (const name of serviceNames) await untilReady(name, services[name].url);
    const productIds = await listedIds(services.catalog.url, askedProducts);
    const pages = await pagesOf(services.catalog.url);
    return {
      engine: servers.addresses.engine,
      targets: { services, productIds, pages, stockIds },
      pids,
      issuer,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
};

/** Products with more stock than a run can take. */
async function fillStock(url: string): Promise<number[]> {
  const ids = Array.from({ length: askedProducts }, (_, at) => at + 1);
  const pool = createPool(url, { connectionLimit: 1 });
  try {
    const at = new Date();
    await pool.query('INSERT INTO products (id) VALUES ?', [ids.map((id) => [id])]);
    await pool.query('INSERT INTO stock_levels (product_id, available, version, updated_at) VALUES ?', [
      ids.map((id) => [id, 500_000_000, 1, at]),
    ]);
  } finally {
    await pool.end();
  }
  return ids;
}

const untilReady = (name: string, url: string): Promise<void> =>
  eventually(
    async () => {
      const { status } = await fetch(`${url}/health/ready`);
      if (status !== 200) throw new Error(`${name} answered ${status}`);
    },
    { withinMs: 60_000 },
  );

type Listed = { items: { id: number }[]; next_cursor: string | null };

async function listedIds(url: string, count: number): Promise<number[]> {
  const ids: number[] = [];
  for (let path = '/api/products?limit=100'; ids.length < count; ) {
    const { items, next_cursor: cursor } = await ask(url, path);
    ids.push(...items.map(({ id }) => id));
    if (cursor === null) break;
    path = `/api/products?limit=100&cursor=${cursor}`;
  }
  return ids.slice(0, count);
}

/** Pages that are told apart by a lower bound of the price. */
async function pagesOf(url: string): Promise<LoadTargets['pages']> {
  const pages = [];
  for (let cents = 0; cents < askedPages; cents += 1) {
    const path = `/api/products?limit=${itemsOfAPage}&sort=price&min_price_cents=${100 * cents}`;
    const { items } = await ask(url, path);
    pages.push({ path, ids: items.map(({ id }) => id) });
  }
  return pages;
}

async function ask(url: string, path: string): Promise<Listed> {
  const answer = await fetch(`${url}${path}`);
  if (answer.status !== 200) throw new Error(`${path}: expected 200, found ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as Listed;
}
