import { type RunningCatalog, startCatalog } from '@strangler/catalog/catalog.ts';
import { catalogConfig } from '@strangler/catalog/config.ts';
import { migrateUp } from '@strangler/catalog/database.ts';
import { removeKeys } from '@strangler/catalog/testing/remove-keys.ts';
import { planFence } from '@strangler/migrations/engine/fence/fence-plan.ts';
import { presentPass } from '@strangler/migrations/engine/fence/fence-state.ts';
import { installFence } from '@strangler/migrations/engine/fence/install-fence.ts';
import { closeFence, openFence } from '@strangler/migrations/engine/fence/move-fence.ts';
import { raiseAutoIncrement } from '@strangler/migrations/engine/fence/raise-auto-increment.ts';
import { readTable } from '@strangler/migrations/engine/schema/read-table.ts';
import { startTestShop, type TestShop } from '@strangler/monolith/testing/shop.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool, dialectOf } from '@strangler/platform/mysql/pool.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import { type FreshDatabase, freePort, freshDatabase, testServers } from '@strangler/platform/testing/servers.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';

type Side = 'monolith' | 'service';

/** The shop and the catalogue service on databases of their own, both fenced, and the ownership moved between them. */
export type TwoSides = {
  shop: TestShop;
  catalog: RunningCatalog;
  flags: TestFlags;
  /** Sessions of an administrator; each in the side's own database. */
  databases: Record<Side, Pool>;
  /**
   * Moves the ownership as a cut-over does: hold, fence, drain, commit, release. The pipe's part is done by copying what
   * differs. `whileFenced` runs when neither side takes writes.
   */
  moveTo(owner: Side, whileFenced?: () => Promise<void>): Promise<void>;
  /** Begins to move the ownership and then thinks better of it. */
  callOff(whileFenced: () => Promise<void>): Promise<void>;
  stop(): Promise<void>;
};

const slice = 'catalog';
const tables = ['categories', 'products', 'reviews'] as const;

/** Columns that both sides have, with the shop's name of it where that is another. */
const columns: Record<(typeof tables)[number], readonly (readonly [service: string, monolith: string])[]> = {
  categories: same('id', 'parent_id', 'name', 'slug', 'created_at', 'updated_at'),
  products: same(
    ...['id', 'sku', 'name', 'description', 'category_id', 'price_cents', 'currency', 'attributes', 'active'],
    ...['archived_at', 'rating_sum', 'rating_count', 'rating_average', 'version', 'created_at', 'updated_at'],
  ),
  reviews: [...same('id', 'product_id', 'rating', 'title', 'body', 'created_at'), ['author_id', 'account_id'] as const],
};

function same(...names: string[]): (readonly [string, string])[] {
  return names.map((name) => [name, name] as const);
}

export async function startTwoSides(label: string, shopEnv: NodeJS.ProcessEnv = {}): Promise<TwoSides> {
  const closers: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const flags = await startTestFlags();
    closers.push(() => flags.stop());
    await flags.set('monolith', 1);
    const own = await freshDatabase(`${label}_cat`);
    closers.push(() => own.drop());
    const log = createLog({ name: 'catalog', level: process.env.TEST_LOG_LEVEL ?? 'fatal' });
    await migrateUp(own.url, log);

    const port = await freePort();
    const shop = await startTestShop(`${label}_shop`, {
      STRANGLER_FLAGS: flags.address,
      CATALOG_URL: `http://127.0.0.1:${port}`,
      FENCE_WAIT: '20s',
      ...shopEnv,
    });
    closers.push(() => shop.stop());
    const catalog = await startCatalog({
      config: ownConfig(own, shop.url, port, flags.address),
      log,
      clock: shop.clock,
    });
    closers.push(() =>
      catalog.lifecycle.stop('end of test').then(() => removeKeys(testServers().redisUrl, `${own.name}:`)),
    );

    const names: Record<Side, string> = { monolith: new URL(shop.databaseUrl).pathname.slice(1), service: own.name };
    const databases = { monolith: adminPool(names.monolith), service: adminPool(names.service) };
    for (const pool of Object.values(databases)) closers.push(() => pool.end());
    await fenceBoth(databases, names);
    return { shop, catalog, flags, databases, ...mover(flags, databases, names), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function ownConfig(own: FreshDatabase, shopUrl: string, port: number, flags: string) {
  return catalogConfig({
    PORT: `${port}`,
    GRPC_PORT: '0',
    DATABASE_URL: own.url,
    REDIS_URL: testServers().redisUrl,
    REDIS_PREFIX: `${own.name}:`,
    CACHE_TIMEOUT: '1000',
    JWKS_URL: `${shopUrl}/.well-known/jwks.json`,
    STRANGLER_FLAGS: flags,
    FENCE_WAIT: '20s',
  });
}

function adminPool(database: string): Pool {
  const url = new URL(testServers().mysqlUrl);
  url.pathname = `/${database}`;
  return createPool(url.href, { connectionLimit: 6 });
}

async function fenceBoth(databases: Record<Side, Pool>, names: Record<Side, string>): Promise<void> {
  for (const side of ['monolith', 'service'] as const) {
    const pool = databases[side];
    const dialect = await dialectOf(pool);
    const plans = await Promise.all(
      tables.map(async (table) => {
        const found = await readTable(pool, { dialect, database: names[side], table });
        if (found === undefined) throw new Error(`expected a table ${table} in ${names[side]}, found none`);
        return planFence({ slice, table: found });
      }),
    );
    const state = side === 'monolith' ? 'open' : 'closed';
    await installFence(pool, {
      slice,
      database: names[side],
      initially: { state, epoch: 1, owner: 'monolith' },
      plans,
    });
  }
}

function mover(flags: TestFlags, databases: Record<Side, Pool>, names: Record<Side, string>) {
  const fencedOff = async (from: Side, to: Side, epoch: number): Promise<void> => {
    await flags.set('held', epoch - 1, flags.owner.now()?.stage);
    const closed = await closeFence(databases[from], { slice, epoch, owner: to, waitMs: 10_000 });
    if (closed.kind !== 'moved') throw new Error(`the fence of the ${from} could not be closed: ${closed.kind}`);
  };
  const nextEpoch = async (): Promise<{ owner: Side; epoch: number }> => {
    const document = (await flags.store.get(slice))?.document;
    return { owner: document?.writes.owner as Side, epoch: (document?.epoch ?? 0) + 1 };
  };
  return {
    moveTo: async (to: Side, whileFenced = async () => {}): Promise<void> => {
      const { owner: from, epoch } = await nextEpoch();
      await fencedOff(from, to, epoch);
      await copyDifferences(databases, names, from, to);
      await whileFenced();
      await flags.set(to, epoch);
      const opened = await openFence(databases[to], { slice, epoch, owner: to, waitMs: 10_000 });
      if (opened.kind !== 'moved') throw new Error(`the fence of the ${to} could not be opened: ${opened.kind}`);
      // The other side's is told who owns it, as the next closing would.
      await databases[from].query('UPDATE strangler_fence SET owner = ? WHERE slice = ?', [to, slice]);
    },
    callOff: async (whileFenced: () => Promise<void>): Promise<void> => {
      const { owner: from, epoch } = await nextEpoch();
      const to = from === 'monolith' ? 'service' : 'monolith';
      await fencedOff(from, to, epoch);
      await whileFenced();
      await openFence(databases[from], { slice, epoch, owner: from, waitMs: 10_000 });
      await flags.set(from, epoch, flags.owner.now()?.stage);
    },
  };
}

/** What the pipe does: makes the tables of `to` what those of `from` are, as a session of the pipe. */
async function copyDifferences(
  databases: Record<Side, Pool>,
  names: Record<Side, string>,
  from: Side,
  to: Side,
): Promise<void> {
  const dialect = await dialectOf(databases[to]);
  const of = async (side: Side, table: string) => {
    const found = await readTable(databases[side], { dialect, database: names[side], table });
    return { pool: databases[side], table: found!, column: 'id' };
  };
  for (const table of tables) await raiseAutoIncrement(await of(to, table), await of(from, table));
  const session = await databases[to].getConnection();
  try {
    await session.query('SET @strangler_apply = 1');
    await presentPass(session, slice);
    await session.query('SET FOREIGN_KEY_CHECKS = 0');
    if (to === 'service') {
      await session.query(
        `INSERT INTO \`${names.service}\`.authors (id, display_name)
         SELECT id, display_name FROM \`${names.monolith}\`.accounts WHERE id NOT IN (SELECT id FROM \`${names.service}\`.authors)`,
      );
    }
    for (const table of tables) {
      const pairs = columns[table].map(([service, monolith]) =>
        to === 'service' ? { into: service, out: monolith } : { into: monolith, out: service },
      );
      const [target, source] = [`\`${names[to]}\`.${table}`, `\`${names[from]}\`.${table}`];
      const others = pairs.filter(({ into }) => into !== 'id');
      await session.query(`DELETE t FROM ${target} t LEFT JOIN ${source} s ON s.id = t.id WHERE s.id IS NULL`);
      await session.query(
        `UPDATE ${target} t JOIN ${source} s ON s.id = t.id SET ${others.map(({ into, out }) => `t.${into} = s.${out}`).join(', ')}`,
      );
      await session.query(
        `INSERT INTO ${target} (${pairs.map(({ into }) => into).join(', ')})
         SELECT ${pairs.map(({ out }) => `s.${out}`).join(', ')} FROM ${source} s LEFT JOIN ${target} t ON t.id = s.id
         WHERE t.id IS NULL`,
      );
    }
  } finally {
    session.destroy();
  }
}

export async function rowsOf<Row>(pool: Pool, sql: string, values: unknown[] = []): Promise<Row[]> {
  const [found] = await pool.query<RowDataPacket[]>(sql, values);
  return found as Row[];
}
