import { pause } from '@strangler/platform/backoff.ts';
import mysql, { type Connection } from 'mysql2/promise';
import { seededRandom } from '../../traffic/random.ts';
import { doSomething } from './operations.ts';
import { reservedGoods } from './tables.ts';
import { beginTransaction } from './transaction.ts';

export type WriterCounts = {
  committed: number;
  rolledBack: number;
  /** Deadlocks and lock waits that ran out: rolled back by the server. */
  conflicts: number;
  /** The connection was lost in the midst of it. */
  cutOff: number;
};

export type Writers = {
  counts(): WriterCounts;
  /** The transactions whose COMMIT was answered. */
  acknowledged(): ReadonlySet<string>;
  /** What a writer could not do and should have been able to. */
  failures(): readonly string[];
  stop(): Promise<void>;
};

/** Programs that write to the source, each on a connection of its own, until they are stopped. */
export function startWriters(options: { url: string; count: number; seed: number; rows: number }): Writers {
  const { url, count, seed, rows } = options;
  const stopped = new AbortController();
  const counts: WriterCounts = { committed: 0, rolledBack: 0, conflicts: 0, cutOff: 0 };
  const acknowledged = new Set<string>();
  const failures: string[] = [];

  async function write(connection: Connection, random: () => number): Promise<void> {
    const isolation = random() < 0.3 ? 'REPEATABLE READ' : 'READ COMMITTED';
    const tx = await beginTransaction(connection, isolation);
    // Older than what it will see by its locks.
    if (random() < 0.5) await tx.rows('SELECT COUNT(*) FROM goods WHERE id < 100');
    const steps = random() < 0.7 ? 1 : 2;
    for (let step = 0; step < steps; step += 1) await doSomething(tx, random, rows);
    if (random() < 0.15) await pause(50 + random() * 350, stopped.signal);
    if (random() < 0.1) {
      await connection.query('ROLLBACK');
      counts.rolledBack += 1;
      return;
    }
    await tx.commit();
    counts.committed += 1;
    if (tx.changes() > 0) acknowledged.add(tx.id);
  }

  async function go(random: () => number): Promise<void> {
    let connection: Connection | undefined;
    while (!stopped.signal.aborted) {
      try {
        connection ??= await openWriter(url);
        await write(connection, random);
        await pause(random() * 30, stopped.signal);
      } catch (error) {
        const { errno, sqlState, message } = error as { errno?: number; sqlState?: string; message: string };
        if (errno === 1213 || errno === 1205) {
          counts.conflicts += 1;
          await connection?.query('ROLLBACK').catch(() => {});
        } else {
          connection?.destroy();
          connection = undefined;
          // 08S01, 1053, 1077, 1927: the server goes, or is not there yet.
          if (sqlState === undefined || sqlState === '08S01' || [1053, 1077, 1927].includes(errno ?? 0))
            counts.cutOff += 1;
          else failures.push(message);
          await pause(100, stopped.signal);
        }
      }
    }
    connection?.destroy();
  }

  const going = Array.from({ length: count }, (_, at) => go(seededRandom(seed * 1_000 + at)));
  return {
    counts: () => ({ ...counts }),
    acknowledged: () => acknowledged,
    failures: () => failures,
    async stop() {
      stopped.abort();
      await Promise.all(going);
    },
  };
}

async function openWriter(url: string): Promise<Connection> {
  const connection = await mysql.createConnection({ uri: url, connectTimeout: 5_000, charset: 'utf8mb4' });
  connection.on('error', () => {});
  await connection.query('SET SESSION innodb_lock_wait_timeout = 5');
  return connection;
}

export type LongTransaction = {
  commit(): Promise<void>;
  /** Without committing, where that has not been done. */
  close(): void;
};

/** A transaction that has written and stays open until it is told to commit; begun anew where its connection is lost. */
export async function startLongTransaction(url: string, rows: number): Promise<LongTransaction> {
  const begin = async () => {
    const connection = await openWriter(url);
    const tx = await beginTransaction(connection, 'READ COMMITTED');
    const keys = Array.from({ length: reservedGoods }, (_, at) => at + 1);
    const extra = rows + 1_000_000;
    const numbers = await tx.take([...keys, extra].map((id) => `goods ${id}`));
    const n = (id: number) => numbers.get(`goods ${id}`)!;
    for (const id of keys.slice(0, -1)) {
      await tx.run(`UPDATE goods SET price = price + 1, note = 'long', n = ? WHERE id = ?`, [n(id), id]);
      tx.note('goods', 'upsert', id, n(id));
    }
    const gone = keys.at(-1)!;
    await tx.run('DELETE FROM goods WHERE id = ?', [gone]);
    tx.note('goods', 'delete', gone, n(gone));
    await tx.run(`INSERT INTO goods (id, code, price, n) VALUES (?, 'late', 1, ?)`, [extra, n(extra)]);
    tx.note('goods', 'upsert', extra, n(extra));
    return { connection, tx };
  };
  let open = await begin();
  return {
    async commit() {
      for (;;) {
        try {
          await open.connection.query('SELECT 1');
          break;
        } catch {
          // The server has been killed meanwhile, and has rolled it back.
          open.connection.destroy();
          await pause(200);
          open = await begin();
        }
      }
      await open.tx.commit();
      await open.connection.end();
    },
    close: () => open.connection.destroy(),
  };
}
