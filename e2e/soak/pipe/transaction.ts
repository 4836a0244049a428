import { randomUUID } from 'node:crypto';
import type { Connection, RowDataPacket } from 'mysql2/promise';

/** One change of a row, as its writer knows it. */
export type Change = {
  subject: 'goods' | 'order_lines';
  keyText: string;
  n: number;
  step: number;
  op: 'upsert' | 'delete';
};

/** A transaction of a writer on the source. */
export type WriterTransaction = {
  readonly id: string;
  run(sql: string, values?: readonly unknown[]): Promise<void>;
  rows<T>(sql: string, values?: readonly unknown[]): Promise<T[]>;
  /**
   * Takes these keys for itself until the end of the transaction, in an order that all writers keep, and gives each its
   * next number.
   */
  take(names: readonly string[]): Promise<Map<string, number>>;
  /** Notes what the transaction has changed; written with the rest of it. */
  note(subject: Change['subject'], op: Change['op'], keyText: string | number, n: number): void;
};

/** Begins a transaction; `commit` writes the journal first. */
export async function beginTransaction(
  connection: Connection,
  isolation: 'READ COMMITTED' | 'REPEATABLE READ',
): Promise<WriterTransaction & { commit(): Promise<void>; changes(): number }> {
  const id = randomUUID();
  const changes: Change[] = [];
  const run = async (sql: string, values: readonly unknown[] = []) => void (await connection.query(sql, [...values]));
  const rows = async <T>(sql: string, values: readonly unknown[] = []): Promise<T[]> => {
    const [found] = await connection.query<RowDataPacket[]>(sql, [...values]);
    return found as T[];
  };
  await run(`SET TRANSACTION ISOLATION LEVEL ${isolation}`);
  await run('START TRANSACTION');
  return {
    id,
    run,
    rows,
    async take(names) {
      const numbers = new Map<string, number>();
      for (const name of [...names].sort()) {
        await run('INSERT INTO counters (name, n) VALUES (?, 1) ON DUPLICATE KEY UPDATE n = n + 1', [name]);
        const [row] = await rows<{ n: number }>('SELECT n FROM counters WHERE name = ?', [name]);
        numbers.set(name, Number(row!.n));
      }
      return numbers;
    },
    note(subject, op, key, n) {
      const keyText = String(key);
      const step = changes.filter((one) => one.subject === subject && one.keyText === keyText && one.n === n).length;
      changes.push({ subject, keyText, n, step, op });
    },
    changes: () => changes.length,
    async commit() {
      if (changes.length > 0) {
        await connection.query('INSERT INTO journal (subject, key_text, n, step, op, transaction) VALUES ?', [
          changes.map(({ subject, keyText, n, step, op }) => [subject, keyText, n, step, op, id]),
        ]);
      }
      await run('COMMIT');
    },
  };
}
