import { problems } from '@strangler/platform/http/problem.ts';
import { tracedFetch } from '@strangler/platform/http/traced-fetch.ts';
import type { Log } from '@strangler/platform/log.ts';
import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import { z } from 'zod';

/** How authors sign their reviews. Accounts are another's: here is a copy of the names, kept in step by the pipe. */
export type AuthorNames = {
  /**
   * The display name of the account that the Authorization header stands for: the one that is known here, else asked of
   * the accounts. Throws a 503 problem when it cannot be had, or a 401 one when there is no such account.
   */
  nameOf(accountId: number, authorization: string): Promise<string>;
};

const TIMEOUT_MS = 2_000;

const account = z.object({ id: z.int(), display_name: z.string().min(1).max(100) });

export function createAuthorNames({
  accountsUrl,
  pool,
  log,
}: {
  /** Origin under which `/api/accounts/me` is. */
  accountsUrl: string;
  pool: Pool;
  log: Log;
}): AuthorNames {
  const ask = async (accountId: number, authorization: string): Promise<string | undefined> => {
    const answer = await tracedFetch(
      { peer: 'monolith', route: '/api/accounts/me' },
      new URL('/api/accounts/me', accountsUrl),
      {
        headers: { authorization, accept: 'application/json' },
        signal: AbortSignal.timeout(TIMEOUT_MS),
        redirect: 'error',
      },
    );
    if (answer.status === 401) {
      throw problems.unauthorized(
        'The account of this access token does not exist',
        'Bearer realm="shop", error="invalid_token"',
      );
    }
    if (!answer.ok) throw new Error(`GET /api/accounts/me: expected 200, found ${answer.status}`);
    const found = account.parse(await answer.json());
    return found.id === accountId ? found.display_name : undefined;
  };

  return {
    async nameOf(accountId, authorization) {
      const sql = 'SELECT display_name FROM authors WHERE id = ?';
      const [known] = await select<{ display_name: string }>(pool, sql, [accountId]);
      if (known !== undefined) return known.display_name;
      let name: string | undefined;
      try {
        name = await ask(accountId, authorization);
      } catch (error) {
        if ((error as { status?: unknown }).status === 401) throw error;
        log.warn({ err: error, accountId }, 'the accounts do not tell the name of a new author');
      }
      if (name === undefined) throw problems.unavailable(1, 'Your account cannot be looked up at the moment');
      return name;
    },
  };
}

/** Adds an author where there is none. One who is there stays: the pipe was first, and what it brought may be newer. */
export async function addAuthor(executor: Executor, { id, name }: { id: number; name: string }): Promise<void> {
  await change(executor, 'INSERT INTO authors (id, display_name) VALUES (?, ?) ON DUPLICATE KEY UPDATE id = id', [
    id,
    name,
  ]);
}
