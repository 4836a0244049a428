import { pause } from '@strangler/platform/backoff.ts';
import { readFenceRefusal } from '@strangler/platform/contracts/fence-refusal.ts';
import mysql, { type Connection } from 'mysql2/promise';
import type { Ending, HistoryLog, Intent } from '../../checker/history-log.ts';
import { type CheckedProduct, countedPrefix, nameOfWrite, type Prices } from './checked-products.ts';

/** Programs that write the monolith's tables and know neither proxy nor flags. */
export type SqlSession = {
  counts(): { committed: number; refusedByFence: number; otherwiseRefused: number };
  /** What it met and should not have. */
  failures(): readonly string[];
  stop(): Promise<void>;
};

export type SqlSessionOptions = {
  /** Of the monolith's database, as an account that may write its tables. */
  url: string;
  client: string;
  log: HistoryLog;
  random: () => number;
  /** Between two transactions, on average. */
  everyMs: number;
};

/** A person at a MySQL prompt, say: sets prices of the products, each in a transaction that stays open for a moment. */
export const startSqlUpdates = (
  options: SqlSessionOptions & { products: readonly CheckedProduct[]; prices: Prices },
): SqlSession => {
  const { client, random, products, prices } = options;
  return startSession(options, () => {
    const { sku, key } = products[Math.floor(random() * products.length)]!;
    const price = prices.next();
    return {
      intents: [{ client, op: 'sql update', kind: 'write', key, value: `${price}` }],
      sql: 'UPDATE products SET price_cents = ?, name = ?, version = version + 1 WHERE sku = ?',
      values: [price, nameOfWrite(price), sku],
      openMs: random() < 0.2 ? random() * 60 : 0,
    };
  });
};

/** A job that counts the version of all its products up, in one statement straight on the table. */
export const startSqlJob = (options: SqlSessionOptions & { products: readonly CheckedProduct[] }): SqlSession => {
  const { client, products } = options;
  return startSession(options, () => ({
    intents: products.map(({ key }) => ({ client, op: 'job', kind: 'add', key, value: null })),
    sql: 'UPDATE products SET version = version + 1 WHERE sku LIKE ?',
    values: [`${countedPrefix}%`],
    openMs: 0,
  }));
};

type Work = { intents: Intent[]; sql: string; values: unknown[]; openMs: number };

/** How long it stays away after the fence has refused it. */
const refusedPauseMs = 150;
const lostPauseMs = 200;

const startSession = ({ url, log, random, everyMs }: SqlSessionOptions, nextWork: () => Work): SqlSession => {
  const stopped = new AbortController();
  const counts = { committed: 0, refusedByFence: 0, otherwiseRefused: 0 };
  const failures: string[] = [];

  const connect = async (): Promise<Connection> => {
    const connection = await mysql.createConnection({ uri: url, connectTimeout: 5_000, charset: 'utf8mb4' });
    connection.on('error', () => {});
    await connection.query('SET SESSION innodb_lock_wait_timeout = 5');
    return connection;
  };
  const transact = async (connection: Connection, work: Work): Promise<void> => {
    const ends = work.intents.map((intent) => log.begin(intent));
    const endAll = (ending: Ending) => {
      for (const end of ends) end(ending);
    };
    let committing = false;
    try {
      await connection.query('START TRANSACTION');
      await connection.query(work.sql, work.values);
      if (work.openMs > 0) await pause(work.openMs, stopped.signal);
      committing = true;
      await connection.query('COMMIT');
      counts.committed += 1;
      endAll({ outcome: 'ok', side: 'monolith' });
    } catch (error) {
      const detail = (error as Error).message.slice(0, 120);
      // Before COMMIT was sent, whatever becomes of the session, nothing can have come about.
      endAll({ outcome: committing ? 'unknown' : 'refused', side: 'monolith', detail });
      throw error;
    }
  };
  const go = async (): Promise<void> => {
    let connection: Connection | undefined;
    while (!stopped.signal.aborted) {
      try {
        connection ??= await connect();
        await transact(connection, nextWork());
        await pause(random() * 2 * everyMs, stopped.signal);
      } catch (error) {
        const { errno, sqlState, message } = error as { errno?: number; sqlState?: string; message: string };
        if (readFenceRefusal(error) !== undefined) {
          counts.refusedByFence += 1;
          await connection?.query('ROLLBACK').catch(() => {});
          await pause(refusedPauseMs, stopped.signal);
        } else if (errno === 1213 || errno === 1205) {
          counts.otherwiseRefused += 1;
          await connection?.query('ROLLBACK').catch(() => {});
        } else {
          connection?.destroy();
          connection = undefined;
          // 08S01, 1053, 1077, 1927: the server goes, or is not there yet.
          const isAway = sqlState === undefined || sqlState === '08S01' || [1053, 1077, 1927].includes(errno ?? 0);
          if (isAway) counts.otherwiseRefused += 1;
          else failures.push(message);
          await pause(lostPauseMs, stopped.signal);
        }
      }
    }
    await connection?.end().catch(() => {});
  };
  const going = go();
  return {
    counts: () => ({ ...counts }),
    failures: () => failures,
    stop: async () => {
      stopped.abort();
      await going;
    },
  };
};
