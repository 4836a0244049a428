import { createPool } from '@strangler/platform/mysql/pool.ts';
import { freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Connection, ConnectionOptions, Pool } from 'mysql2/promise';
import mysql from 'mysql2/promise';
import { readServer, type ServerFacts } from '../schema/read-server.ts';
import { readTable } from '../schema/read-table.ts';
import type { TableSchema } from '../schema/table-schema.ts';
import { type FencePlan, planFence } from './fence-plan.ts';
import { presentPass } from './fence-state.ts';
import { installFence } from './install-fence.ts';
import { closeFence, type FenceMove, type FenceMoveOutcome, openFence } from './move-fence.ts';

export const slice = 'shop';

/** A database with some fenced tables, for tests of the fence. */
export type FencedDatabase = {
  name: string;
  url: string;
  pool: Pool;
  /** Sessions of the administrator, in the same database: they see who holds what. */
  admin: Pool;
  server: ServerFacts;
  /** A session of a writer, set as its pool would not set it. */
  writer(options?: ConnectionOptions): Promise<Connection>;
  /** A session of the pipe with the present pass. */
  applier(): Promise<Connection>;
  table(name: string): Promise<TableSchema>;
  plans(names: readonly string[]): Promise<FencePlan[]>;
  /** Fences these tables, open, at epoch 1. */
  fence(names: readonly string[]): Promise<void>;
  close(move?: Partial<FenceMove>): Promise<FenceMoveOutcome>;
  open(move?: Partial<FenceMove>): Promise<FenceMoveOutcome>;
  drop(): Promise<void>;
};

export async function fencedDatabase(label: string): Promise<FencedDatabase> {
  const database = await freshDatabase(label);
  const pool = createPool(database.url);
  const admin = createPool(database.adminUrl, { connectionLimit: 4 });
  const server = await readServer(pool);
  const connections: Connection[] = [];
  const table = async (name: string): Promise<TableSchema> => {
    const found = await readTable(pool, { dialect: server.dialect, database: database.name, table: name });
    if (found === undefined) throw new Error(`expected a table ${name} in ${database.name}, found none`);
    return found;
  };
  const writer = async (options?: ConnectionOptions): Promise<Connection> => {
    const connection = await mysql.createConnection({ uri: database.url, dateStrings: true, ...options });
    // One that the fence has ended tells so when it is next used.
    connection.on('error', () => {});
    connections.push(connection);
    return connection;
  };
  const plans = (names: readonly string[]) =>
    Promise.all(names.map(async (name) => planFence({ slice, table: await table(name) })));
  let epoch = 1;
  const moved = (move?: Partial<FenceMove>, owner: FenceMove['owner'] = 'monolith'): FenceMove => {
    epoch = move?.epoch ?? epoch + 1;
    return { slice, epoch, owner, ...move };
  };
  return {
    name: database.name,
    url: database.url,
    pool,
    admin,
    server,
    writer,
    async applier() {
      const session = await writer();
      await session.query('SET @strangler_apply = 1');
      await presentPass(session, slice);
      return session;
    },
    table,
    plans,
    async fence(names) {
      const initially = { state: 'open', epoch, owner: 'monolith' } as const;
      await installFence(pool, { slice, database: database.name, initially, plans: await plans(names) });
    },
    close: (move) => closeFence(admin, moved(move, 'service')),
    open: (move) => openFence(admin, moved(move)),
    async drop() {
      for (const connection of connections) connection.destroy();
      await pool.end();
      await admin.end();
      await database.drop();
    },
  };
}

/** What a write answers: how many rows it touched, or the error's number. */
export const answerOf = async (session: Connection, sql: string): Promise<string> => {
  try {
    const [result] = await session.query(sql);
    return `ok ${(result as { affectedRows?: number }).affectedRows ?? ''}`.trim();
  } catch (error) {
    return String((error as { errno?: number }).errno);
  }
};
