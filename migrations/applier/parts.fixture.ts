import { pause } from '@strangler/platform/backoff.ts';
import { seeded } from '@strangler/platform/outbox/testing/random.ts';
import type { Pool } from 'mysql2/promise';
import { planFence } from '../engine/fence/fence-plan.ts';
import { installFence } from '../engine/fence/install-fence.ts';
import { isCanary } from '../engine/pipe/canary.ts';
import { rowsOf } from '../engine/schema/queryable.ts';
import type { Pipe, PipeOptions } from '../testing/start-pipe.ts';

/**
 * A table with a key of two columns, whose order is another in the service, a computed column, two columns that a
 * transform makes one of, and columns that only one side has; a plain one; and one that stays the monolith's.
 */
export const parts: Pick<PipeOptions, 'sourceSql' | 'targetSql' | 'slice'> = {
  sourceSql: [
    `CREATE TABLE parts (shop INT NOT NULL, code VARCHAR(20) NOT NULL, name VARCHAR(60) NULL, price DECIMAL(10,2) NOT NULL,
       maker VARCHAR(20) NOT NULL, model VARCHAR(20) NOT NULL, shelf VARCHAR(20) NOT NULL DEFAULT 'unshelved',
       PRIMARY KEY (shop, code), UNIQUE KEY by_name (name))`,
    'CREATE TABLE notes (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200))',
    'CREATE TABLE makers (id INT NOT NULL PRIMARY KEY, name VARCHAR(20))',
  ],
  targetSql: [
    `CREATE TABLE items (sku VARCHAR(20) NOT NULL, branch INT NOT NULL, title VARCHAR(60) NULL, price DECIMAL(10,2) NOT NULL,
       price_cents INT NULL, label VARCHAR(60) NOT NULL, remark VARCHAR(20) NULL,
       PRIMARY KEY (sku, branch), UNIQUE KEY by_title (title))`,
    'CREATE TABLE notes (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200))',
    'CREATE TABLE makers (id INT NOT NULL PRIMARY KEY, name VARCHAR(20))',
  ],
  slice: {
    tables: `  - source: parts
    target: items
    columns: { sku: code, branch: shop, title: name, price: price, price_cents: { sql: "ROUND(price * 100)" } }
    transform: ./label.ts
  - source: notes
  - { source: makers, reference: true }
`,
    transforms: {
      'label.ts': `export const transform = {
  sourceColumns: ['maker', 'model'],
  targetColumns: ['label'],
  toTarget: ({ maker, model }) => ({ label: JSON.stringify([maker, model]) }),
  toSource({ label }) {
    const [maker, model] = JSON.parse(label);
    return { maker, model };
  },
};
`,
    },
  },
};

/** The rows that move, of either end in the service's form: without what only one side has. */
export async function movedRows({ source, target }: Pipe): Promise<[monolith: unknown, service: unknown]> {
  const notes = (pool: Pool) => rowsOf(pool, 'SELECT id, text FROM notes ORDER BY id');
  const items = await rowsOf<{ maker: string; model: string }>(
    source.pool,
    'SELECT code AS sku, shop AS branch, name AS title, price, maker, model FROM parts ORDER BY code, shop',
  );
  return [
    {
      items: items.map(({ maker, model, ...item }) => ({ ...item, label: JSON.stringify([maker, model]) })),
      notes: await notes(source.pool),
    },
    {
      items: await rowsOf(target.pool, 'SELECT sku, branch, title, price, label FROM items ORDER BY sku, branch'),
      notes: await notes(target.pool),
    },
  ];
}

/** Both fences, as the beginning of a cut-over draws them: the monolith's open, the service's closed. */
export async function drawFences(pipe: Pipe, epoch = 1): Promise<void> {
  const slice = pipe.slice.slice;
  for (const direction of ['forward', 'reverse'] as const) {
    const databases = pipe.open(direction);
    const tables = (await databases.tables()).filter((table) => !isCanary(table));
    const moving = tables.filter(
      ({ mapping }) => pipe.slice.tables.find(({ source }) => source === mapping.source)?.reference !== true,
    );
    await installFence(databases.source.write, {
      slice,
      database: (direction === 'forward' ? pipe.source : pipe.target).name,
      initially: { state: direction === 'forward' ? 'open' : 'closed', epoch, owner: 'monolith' },
      plans: moving.map(({ source: table }) => planFence({ slice, table })),
    });
  }
}

export type ServiceWriters = { commits(): number; stop(): Promise<void> };

/** Writes at the service: additions, changes, deletes, additions of what was deleted, titles that go from row to row. */
export function startServiceWriters({ target }: Pipe, { seed = 11, writers = 2, rows = 40, restMs = 3 } = {}) {
  let going = true;
  let commits = 0;

  async function write(random: () => number): Promise<void> {
    const pick = (n: number) => Math.floor(random() * n);
    while (going) {
      const connection = await target.pool.getConnection();
      try {
        await connection.query('START TRANSACTION');
        const picked = Array.from({ length: 1 + pick(3) }, () => pick(rows)).sort((a, b) => a - b);
        for (const at of picked) {
          const key = [`c${at % 10}`, Math.floor(at / 10)];
          const what = random();
          if (what < 0.15) await connection.query('DELETE FROM items WHERE sku = ? AND branch = ?', key);
          else if (what < 0.3)
            await connection.query('UPDATE items SET title = NULL WHERE sku = ? AND branch = ?', key);
          else if (what < 0.65) {
            await connection.query(
              `INSERT INTO items (sku, branch, title, price, label) VALUES (?, ?, ?, ?, ?)
               ON DUPLICATE KEY UPDATE price = price + 1, label = VALUES(label)`,
              [...key, `t${pick(rows)}`, pick(1000) / 4, JSON.stringify([`m${pick(9)}`, 'a"ü,'])],
            );
          } else {
            const values = [pick(1000) / 4, ...key];
            await connection.query('UPDATE items SET price = ?, remark = price WHERE sku = ? AND branch = ?', values);
          }
          if (what < 0.2) await connection.query('DELETE FROM notes WHERE id = ?', [at + 1]);
          else await connection.query('REPLACE INTO notes VALUES (?, ?)', [at + 1, `${at} ${random()}`]);
        }
        await connection.query(random() < 0.1 ? 'ROLLBACK' : 'COMMIT');
        commits += 1;
      } catch (error) {
        const { errno } = error as { errno?: number };
        await connection.query('ROLLBACK');
        // Deadlocks, and titles that another row has.
        if (errno !== 1213 && errno !== 1062 && errno !== 1205) throw error;
      } finally {
        connection.release();
      }
      await pause(restMs);
    }
  }

  const running = Promise.all(Array.from({ length: writers }, (_, n) => write(seeded(seed + n))));
  running.catch(() => {});
  const started: ServiceWriters = {
    commits: () => commits,
    async stop() {
      going = false;
      await running;
    },
  };
  return started;
}
