import { type RowMessage, rowMessageOf } from '@strangler/platform/contracts/row-message.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { installOutbox, outboxTable } from '@strangler/platform/outbox/schema.ts';
import { freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Connection, ConnectionOptions, Pool } from 'mysql2/promise';
import mysql from 'mysql2/promise';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { readServer, type ServerFacts } from '../schema/read-server.ts';
import { readTable } from '../schema/read-table.ts';
import type { TableSchema } from '../schema/table-schema.ts';
import { planCapture } from './capture-plan.ts';
import { installCapture } from './install-capture.ts';

/** A database with an outbox, for tests of capture. */
export type CapturedDatabase = {
  name: string;
  url: string;
  adminUrl: string;
  pool: Pool;
  server: ServerFacts;
  /** A session of a writer, set as its pool would not set it. */
  writer(options?: ConnectionOptions): Promise<Connection>;
  table(name: string): Promise<TableSchema>;
  /** Captures these tables and no others: all of their columns, or those named. */
  capture(tables: Record<string, readonly string[] | 'all'>): Promise<void>;
  /** What was captured since `take` was last called, in order of ids. */
  take(): Promise<RowMessage[]>;
  drop(): Promise<void>;
};

export const slice = 'shop';

export async function capturedDatabase(label: string): Promise<CapturedDatabase> {
  const database = await freshDatabase(label);
  const pool = createPool(database.url);
  const server = await readServer(pool);
  await installOutbox(pool);
  const writers: Connection[] = [];
  let taken = '0';
  const table = async (name: string): Promise<TableSchema> => {
    const found = await readTable(pool, { dialect: server.dialect, database: database.name, table: name });
    if (found === undefined) throw new Error(`expected a table ${name} in ${database.name}, found none`);
    return found;
  };
  return {
    name: database.name,
    url: database.url,
    adminUrl: database.adminUrl,
    pool,
    server,
    table,
    async writer(options) {
      const connection = await mysql.createConnection({ uri: database.url, dateStrings: true, ...options });
      writers.push(connection);
      return connection;
    },
    async capture(tables) {
      const plans = [];
      for (const [name, columns] of Object.entries(tables)) {
        const source = await table(name);
        const captured = columns === 'all' ? source.columns.map((column) => column.name) : columns;
        plans.push(planCapture({ slice, source, dialect: server.dialect, captured }));
      }
      await installCapture(pool, { slice, database: database.name, epoch: 1, plans });
    },
    async take() {
      const messages = await readOutbox(pool, taken);
      taken = messages.at(-1)?.version.id ?? taken;
      return messages;
    },
    async drop() {
      await Promise.all(writers.map((writer) => writer.end().catch(() => writer.destroy())));
      await pool.end();
      await database.drop();
    },
  };
}

type OutboxRow = Parameters<typeof rowMessageOf>[0];

/** The row messages of the outbox whose id is above `after`, in order of ids. */
export async function readOutbox(db: Queryable, after = '0'): Promise<RowMessage[]> {
  const rows = await rowsOf<OutboxRow>(
    db,
    `SELECT CAST(o.id AS CHAR) AS id, epoch, topic, subject, CONVERT(subject_key USING utf8mb4) AS subjectKey, op, payload,
            headers, CAST(created_at AS CHAR) AS createdAt
     FROM ${outboxTable} o WHERE o.kind = 'row' AND o.id > ? ORDER BY o.id`,
    [after],
  );
  return rows.map(rowMessageOf);
}
