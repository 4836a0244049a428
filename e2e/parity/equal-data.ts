import { GENERATION_TTL_MS, generationKey, newGeneration } from '@strangler/platform/cache/generation.ts';
import { everythingScope } from '@strangler/platform/cache/scope.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import type { Pool, PoolConnection, RowDataPacket } from 'mysql2/promise';
import { createClient } from 'redis';

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
  const sides = await Promise.all(pools.map(remember));
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

async function remember(pool: Pool): Promise<() => Promise<void>> {
  const connection = await pool.getConnection();
  const nextIds = new Map<string, number>();
  const columns = new Map<string, string>();
  for (const table of tables) {
    const [shown] = await connection.query<RowDataPacket[]>(`SHOW COLUMNS FROM ${table}`);
    const plain = shown.filter(({ Extra }) => !/GENERATED/.test(Extra)).map(({ Field }) => `\`${Field}\``);
    columns.set(table, plain.join(', '));
    await connection.query(`CREATE TABLE remembered_${table} AS SELECT ${plain.join(', ')} FROM ${table}`);
    const [[max]] = await connection.query<RowDataPacket[]>(`SELECT COALESCE(MAX(id), 0) + 1 AS next FROM ${table}`);
    nextIds.set(table, Number(max?.next));
  }
  connection.release();
  return async () => {
    const connection = await pool.getConnection();
    await unchecked(connection, async () => {
      for (const table of tables) {
        const list = columns.get(table);
        await connection.query(`DELETE FROM ${table}`);
        await connection.query(`INSERT INTO ${table} (${list}) SELECT ${list} FROM remembered_${table} ORDER BY id`);
        await connection.query(`ALTER TABLE ${table} AUTO_INCREMENT = ${nextIds.get(table)}`);
      }
    });
    connection.release();
  };
}

/** Without foreign keys: rows go and come back in any order. */
async function unchecked(connection: PoolConnection, work: () => Promise<void>): Promise<void> {
  await connection.query('SET SESSION foreign_key_checks = 0');
  await work();
  await connection.query('SET SESSION foreign_key_checks = 1');
}
