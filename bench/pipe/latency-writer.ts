import { createPool } from '@strangler/platform/mysql/pool.ts';
import { table } from './products.ts';
import { answerQuestions } from './worker.ts';

/** A program of the source: commits changes of one row each, at an even rate, over some connections. */
const [url] = process.argv.slice(2) as [string];
const connections = 8;
const db = createPool(url, { connectionLimit: connections });

type Question = { commitsPerSecond: number; commits: number };

export type WriteReport = {
  /** When the commit of row 1, 2, … was answered: ms since the epoch. */
  committedAtMs: number[];
  tookMs: number;
};

const write = async ({ commitsPerSecond, commits }: Question): Promise<WriteReport> => {
  const committedAtMs: number[] = [];
  const startedAt = performance.now();
  let next = 0;
  const work = async () => {
    for (;;) {
      const id = next + 1;
      if (id > commits) return;
      next = id;
      const dueMs = startedAt + (id * 1000) / commitsPerSecond;
      const earlyMs = dueMs - performance.now();
      if (earlyMs > 1) await new Promise((resolve) => setTimeout(resolve, earlyMs));
      await db.query(`UPDATE ${table} SET price_cents = price_cents + 1, version = version + 1 WHERE id = ?`, [id]);
      committedAtMs[id - 1] = performance.timeOrigin + performance.now();
    }
  };
  await Promise.all(Array.from({ length: connections }, work));
  return { committedAtMs, tookMs: performance.now() - startedAt };
};

answerQuestions(write, () => db.end());
