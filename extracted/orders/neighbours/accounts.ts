import { tracedFetch } from '@strangler/platform/http/traced-fetch.ts';
import type { Log } from '@strangler/platform/log.ts';
import { change, select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import { z } from 'zod';

/** The customers, of whom a copy is kept by the pipe. */
export type Accounts = {
  /** Sees to it that a customer who orders is known; one who is newer than the pipe's copy is asked of the shop. */
  know(accountId: number, authorization: string): Promise<void>;
};

const TIMEOUT_MS = 2_000;

const account = z.object({ id: z.int(), email: z.string(), display_name: z.string() });

export function createAccounts({ shopUrl, pool, log }: { shopUrl: string; pool: Pool; log: Log }): Accounts {
  return {
    async know(accountId, authorization) {
      const known = await select(pool, 'SELECT id FROM accounts WHERE id = ?', [accountId]);
      if (known.length > 0) return;
      try {
        const answer = await tracedFetch(
          { peer: 'monolith', route: '/api/accounts/me' },
          new URL('/api/accounts/me', shopUrl),
          {
            headers: { authorization, accept: 'application/json' },
            signal: AbortSignal.timeout(TIMEOUT_MS),
            redirect: 'error',
          },
        );
        if (!answer.ok) throw new Error(`GET /api/accounts/me: expected 200, found ${answer.status}`);
        const { id, email, display_name } = account.parse(await answer.json());
        // What the pipe has brought in the meantime stays: it may be newer.
        const sql = 'INSERT INTO accounts (id, email, display_name) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE id = id';
        await change(pool, sql, [id, email, display_name]);
      } catch (error) {
        log.warn({ err: error, accountId }, 'the shop does not tell of a new account; the pipe will');
      }
    },
  };
}
