import type { Observer } from '@strangler/migrations/parity/observe/observer.ts';
import { pause } from '@strangler/platform/backoff.ts';
import type { Difference } from '@strangler/platform/compare/compare-answers.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';

/** One question to both databases whose answers must be the same, row by row. */
export type SameRows = {
  /** As differences name it. */
  name: string;
  left: { pool: Pool; sql: string };
  right: { pool: Pool; sql: string };
};

/** Most differences of one question that are told. */
const mostTold = 5;
const pollMs = 50;

/**
 * Holds rows against each other that no mapping of columns tells of: each side writes its own. What is done behind an answer is waited
 * for, `withinMs` at most.
 */
export function sameRows(questions: readonly SameRows[], withinMs: number): Observer {
  const rows = async ({ pool, sql }: SameRows['left']): Promise<string[]> => {
    const [found] = await pool.query<RowDataPacket[]>(sql);
    return found.map((row) => JSON.stringify(row));
  };
  const look = async (): Promise<Difference[]> => {
    const found: Difference[] = [];
    for (const { name, left, right } of questions) {
      const [one, other] = await Promise.all([rows(left), rows(right)]);
      const longest = Math.max(one.length, other.length);
      const different = Array.from({ length: longest }, (_, at) => at).filter((at) => one[at] !== other[at]);
      for (const at of different.slice(0, mostTold)) {
        const shown = { monolith: one[at], service: other[at] };
        found.push({ path: `row ${name}`, at: `row ${name} ${at + 1}`, kind: 'value', ...shown });
      }
    }
    return found;
  };
  return {
    begin: async () => {},
    events: async () => [null, null],
    rows: patient(look, withinMs),
  };
}

/** Looks again for a while where rows differ: what is done behind an answer is not yet done. */
export function patient(look: () => Promise<Difference[]>, withinMs: number): () => Promise<Difference[]> {
  return async () => {
    const untilMs = performance.now() + withinMs;
    for (;;) {
      const found = await look();
      if (found.length === 0 || performance.now() > untilMs) return found;
      await pause(pollMs);
    }
  };
}
