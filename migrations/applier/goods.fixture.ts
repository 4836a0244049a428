import { pause } from '@strangler/platform/backoff.ts';
import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import { seeded } from '@strangler/platform/outbox/testing/random.ts';
import { rowsOf } from '../engine/schema/queryable.ts';
import type { Pipe, PipeOptions } from '../testing/start-pipe.ts';

const columns = `id INT NOT NULL PRIMARY KEY, name VARCHAR(40) NULL, price INT NOT NULL, UNIQUE KEY by_name (name)`;

/** Two tables, one of them under another name in the target. The target takes no negative price. */
export const goods: Pick<PipeOptions, 'sourceSql' | 'targetSql' | 'slice'> = {
  sourceSql: [`CREATE TABLE goods (${columns})`, 'CREATE TABLE notes (id INT NOT NULL PRIMARY KEY, text VARCHAR(200))'],
  targetSql: [
    `CREATE TABLE items (${columns}, CONSTRAINT no_debt CHECK (price >= 0))`,
    'CREATE TABLE notes (id INT NOT NULL PRIMARY KEY, text VARCHAR(200))',
  ],
  slice: { tables: '  - { source: goods, target: items }\n  - { source: notes }\n' },
};

/** Both tables' rows at one end. */
export async function rowsAt({ pool }: Pipe['source'], table: 'goods' | 'items'): Promise<unknown> {
  return {
    goods: await rowsOf(pool, `SELECT * FROM ${table} ORDER BY id`),
    notes: await rowsOf(pool, 'SELECT * FROM notes ORDER BY id'),
  };
}

export const bothEnds = async (pipe: Pipe): Promise<[source: unknown, target: unknown]> => [
  await rowsAt(pipe.source, 'goods'),
  await rowsAt(pipe.target, 'items'),
];

/** Every change that was captured, as `announcedChanges` names them. */
export async function capturedChanges({ source }: Pipe): Promise<string[]> {
  const rows = await rowsOf<{ change: string }>(
    source.pool,
    `SELECT CONCAT(subject, ' ', CONVERT(subject_key USING utf8mb4), ' ', epoch, '/', id) AS \`change\`
     FROM ${outboxTable} WHERE kind = 'row' ORDER BY id`,
  );
  return rows.map(({ change }) => change);
}

/** Of every row its newest change: those before it may have been superseded while they waited for a unique value. */
export async function newestChanges(pipe: Pipe): Promise<string[]> {
  const changes = await capturedChanges(pipe);
  return [...new Map(changes.map((change) => [change.slice(0, change.lastIndexOf(' ')), change])).values()];
}

export type Writers = {
  /** Transactions that were committed so far. */
  commits(): number;
  stop(): Promise<void>;
};

/** Writes on and on: additions, changes, deletes, names that go from row to row, several rows in one transaction. */
export function startWriters(pipe: Pipe, { seed = 7, writers = 3, rows = 60, restMs = 3 } = {}): Writers {
  const { pool } = pipe.source;
  let going = true;
  let commits = 0;

  async function write(random: () => number): Promise<void> {
    const pick = (n: number) => Math.floor(random() * n);
    while (going) {
      const connection = await pool.getConnection();
      try {
        await connection.query('START TRANSACTION');
        const ids = Array.from({ length: 1 + pick(4) }, () => pick(rows)).sort((a, b) => a - b);
        for (const id of ids) {
          const what = random();
          if (what < 0.1) await connection.query('DELETE FROM goods WHERE id = ?', [id]);
          else if (what < 0.3) await connection.query('UPDATE goods SET name = NULL WHERE id = ?', [id]);
          else if (what < 0.6) {
            const name = `n${pick(rows)}`;
            await connection.query('INSERT INTO goods VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE price = price + 1', [
              id,
              name,
              pick(1000),
            ]);
          } else await connection.query('UPDATE goods SET price = ? WHERE id = ?', [pick(1000), id]);
          await connection.query('REPLACE INTO notes VALUES (?, ?)', [id, `${id} ${random()}`]);
        }
        await connection.query(random() < 0.1 ? 'ROLLBACK' : 'COMMIT');
        commits += 1;
      } catch (error) {
        // Deadlocks and names that another row has: as with any application.
        const { errno } = error as { errno?: number };
        await connection.query('ROLLBACK');
        if (errno !== 1213 && errno !== 1062 && errno !== 1205) throw error;
      } finally {
        connection.release();
      }
      await pause(restMs);
    }
  }

  const running = Promise.all(Array.from({ length: writers }, (_, n) => write(seeded(seed + n))));
  // Told to whoever stops them.
  running.catch(() => {});
  return {
    commits: () => commits,
    async stop() {
      going = false;
      await running;
    },
  };
}
