import { GENERATION_TTL_MS, generationKey, newGeneration } from '@strangler/platform/cache/generation.ts';
import { everythingScope } from '@strangler/platform/cache/scope.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { createClient } from 'redis';
import { rememberTables } from './remember-tables.ts';

const tables = ['categories', 'products', 'reviews'] as const;

export type EqualData = {
  /** Puts both databases back to what they were when this was made, ids to come included, and the cache with them. */
  restore(): Promise<void>;
  /** The same of the monolith's alone. */
  restoreMonolith(): Promise<void>;
  close(): Promise<void>;
};

/** Remembers the catalogue of both sides. */
export async function rememberData(options: {
  monolithDatabaseUrl: string;
  catalogDatabaseUrl: string;
  redisUrl: string;
  /** Before the catalogue's keys. */
  redisPrefix: string;
}): Promise<EqualData> {
  const pools = [options.monolithDatabaseUrl, options.catalogDatabaseUrl].map((url) =>
    createPool(url, { connectionLimit: 1 }),
  );
  const redis = createClient({ url: options.redisUrl });
  await redis.connect();
  const sides = await Promise.all(pools.map((pool) => rememberTables(pool, tables)));
  return {
    async restore() {
      await Promise.all(sides.map((restore) => restore()));
      const key = `${options.redisPrefix}${generationKey(everythingScope)}`;
      await redis.set(key, newGeneration(), { PX: GENERATION_TTL_MS });
    },
    restoreMonolith: async () => sides[0]?.(),
    async close() {
      redis.destroy();
      await Promise.all(pools.map((pool) => pool.end()));
    },
  };
}
