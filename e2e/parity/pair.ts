import { migrateUp } from '@strangler/catalog/database.ts';
import { removeKeys } from '@strangler/catalog/testing/remove-keys.ts';
import { seed } from '@strangler/monolith/seed/seed.ts';
import { createLog } from '@strangler/platform/log.ts';
import { type FreshDatabase, freshDatabase, testServers } from '@strangler/platform/testing/servers.ts';
import { type EqualData, rememberData } from './equal-data.ts';
import { fillCatalogue } from './fill-catalogue.ts';
import type { Tokens } from './scenario.ts';
import {
  newSigningKey,
  PINNED_TIME,
  type RunningCatalogProgram,
  type RunningProgram,
  startCatalog,
  startMonolith,
} from './start-processes.ts';
import { makeTokens } from './tokens.ts';

/** Products that both sides have. */
export const PARITY_SIZE = 120;

/** Monolith and catalogue as processes, on databases of their own with the same catalogue in them. */
export type ParityPair = {
  monolith: RunningProgram;
  catalog: RunningCatalogProgram;
  signingKey: string;
  tokens: Tokens;
  databases: { shop: FreshDatabase; own: FreshDatabase };
  data: EqualData;
  /** Unique: for keys and ids elsewhere. */
  prefix: string;
  stop(): Promise<void>;
};

export async function startParityPair(
  label: string,
  { catalogEnv = {} }: { catalogEnv?: Record<string, string> } = {},
): Promise<ParityPair> {
  const servers = testServers();
  const closers: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  const open = async (name: string): Promise<FreshDatabase> => {
    const database = await freshDatabase(name);
    closers.push(() => database.drop());
    return database;
  };
  try {
    const log = createLog({ name: 'parity', level: 'fatal' });
    const [shop, own] = await Promise.all([open(`${label}_shop`), open(`${label}_cat`)]);
    await Promise.all([seed({ url: shop.url, size: PARITY_SIZE, seed: 7, log }), migrateUp(own.url, log)]);
    await fillCatalogue({ sourceUrl: shop.url, targetUrl: own.url, log });

    const prefix = own.name;
    closers.push(() => removeKeys(servers.redisUrl, `${prefix}:`));
    const signingKey = newSigningKey();
    const monolith = await startMonolith({ servers, databaseUrl: shop.url, prefix, signingKey });
    closers.push(() => monolith.stop());
    const catalog = await startCatalog({
      servers,
      databaseUrl: own.url,
      prefix,
      monolithUrl: monolith.url,
      // A busy machine must not look like a Redis that is away.
      env: { CACHE_TIMEOUT: '1000', ...catalogEnv },
    });
    closers.push(() => catalog.stop());
    const data = await rememberData({
      monolithDatabaseUrl: shop.url,
      catalogDatabaseUrl: own.url,
      redisUrl: servers.redisUrl,
      redisPrefix: `${prefix}:catalog:`,
    });
    closers.push(() => data.close());
    const tokens = await makeTokens(signingKey, new Date(PINNED_TIME));
    return { monolith, catalog, signingKey, tokens, databases: { shop, own }, data, prefix, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
