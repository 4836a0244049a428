import { pause } from '@strangler/platform/backoff.ts';
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { contendedGoods, reservedGoods } from './tables.ts';

export type Observer = {
  /** How often the target was looked at. */
  looks(): number;
  /** Rows that went back to an older state, or came back after they had been deleted. */
  violations(): readonly string[];
  stop(): Promise<void>;
};

/** `copied`: no change of it has been applied, so its state is whichever the copy came upon. */
export type LookedAt = { n: number; copied: boolean };
type Seen = { n: number; present: boolean };

/**
 * What is wrong about rows of the target at one moment, after all that was seen of them before. A row that was copied may
 * be newer than the changes of it that are still on their way: it counts from the first of these on.
 */
export function compareLooks(seen: Map<string, Seen>, now: ReadonlyMap<string, LookedAt>): string[] {
  const wrong: string[] = [];
  for (const [row, { n, copied }] of now) {
    const before = seen.get(row);
    if (copied) {
      if (before !== undefined) wrong.push(`${row} was ${before.n} by its changes and is a copy now, ${n}`);
      continue;
    }
    if (before !== undefined && n < before.n) wrong.push(`${row} went back from ${before.n} to ${n}`);
    else if (before !== undefined && !before.present && n === before.n) wrong.push(`${row} came back as ${n}`);
    seen.set(row, { n: Math.max(n, before?.n ?? 0), present: true });
  }
  for (const [row, before] of seen) if (!now.has(row)) seen.set(row, { n: before.n, present: false });
  return wrong;
}

async function open(url: string): Promise<Connection> {
  const connection = await mysql.createConnection({ uri: url, connectTimeout: 5_000 });
  connection.on('error', () => {});
  return connection;
}

/** Looks at the rows of the target that change the most, again and again, over a connection of its own. */
export function startObserver(url: string): Observer {
  const stopped = new AbortController();
  const seen = new Map<string, Seen>();
  const violations: string[] = [];
  let looks = 0;

  async function look(connection: Connection): Promise<void> {
    const [rows] = await connection.query<RowDataPacket[]>(
      `SELECT CONCAT('ware ', ware_id) AS name, n, v.id IS NULL AS copied FROM wares
         LEFT JOIN strangler_versions v ON v.table_name = 'wares' AND v.key_text = CAST(ware_id AS CHAR)
       WHERE ware_id <= ${reservedGoods + contendedGoods}
       UNION ALL SELECT CONCAT('line ', order_id, '/', line), n, v.id IS NULL FROM order_lines
         LEFT JOIN strangler_versions v ON v.table_name = 'order_lines' AND v.key_text = CONCAT(order_id, '/', line)`,
    );
    const now = rows.map(
      ({ name, n, copied }) => [String(name), { n: Number(n), copied: Number(copied) === 1 }] as const,
    );
    violations.push(...compareLooks(seen, new Map(now)));
    looks += 1;
  }

  const looking = (async () => {
    let connection: Connection | undefined;
    while (!stopped.signal.aborted) {
      try {
        connection ??= await open(url);
        await look(connection);
      } catch {
        connection?.destroy();
        connection = undefined;
      }
      await pause(60, stopped.signal);
    }
    connection?.destroy();
  })();
  return {
    looks: () => looks,
    violations: () => violations,
    async stop() {
      stopped.abort();
      await looking;
    },
  };
}
