import type { Executor } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { Counter, type Registry } from 'prom-client';

/** Runs transactions of the inventory. */
export type Transactions = {
  /**
   * One READ COMMITTED transaction, run again where the database asks for that. When the signal is aborted no further
   * statement is sent, and what was done is rolled back: `work` then throws the signal's reason.
   */
  run<T>(work: (transaction: Executor) => Promise<T>, signal?: AbortSignal): Promise<T>;
};

/** A hot product has many takers, and one of them is a deadlock's victim now and then. */
const MOST_ATTEMPTS = 6;

export function createTransactions({ pool, registry }: { pool: Pool; registry: Registry }): Transactions {
  const retries = new Counter({
    name: 'inventory_transaction_retries_total',
    help: 'Transactions that were run again: deadlock, or lock-wait for one that waited too long for a row.',
    labelNames: ['conflict'],
    registers: [registry],
  });
  return {
    run: (work, signal) =>
      withTransaction(
        pool,
        'READ COMMITTED',
        async (connection) => {
          signal?.throwIfAborted();
          const result = await work(signal === undefined ? connection : whileWanted(connection, signal));
          signal?.throwIfAborted();
          return result;
        },
        { maxAttempts: MOST_ATTEMPTS, onRetry: (conflict) => retries.inc({ conflict }) },
      ),
  };
}

function whileWanted(connection: Executor, signal: AbortSignal): Executor {
  const query = async (...args: unknown[]): Promise<unknown> => {
    signal.throwIfAborted();
    return (connection.query as (...all: unknown[]) => Promise<unknown>).apply(connection, args);
  };
  return { query: query as Executor['query'] };
}
