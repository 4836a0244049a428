import { problems } from '@strangler/platform/http/problem.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { Pool } from 'mysql2/promise';
import { z } from 'zod';
import { select } from '../database.ts';

/** How an author signs a review. Accounts are another's: here is only what stands on the reviews. */
export type AuthorNames = {
  /**
   * The display name of the account that the Authorization header stands for: asked of the accounts, else the one on the
   * account's last review. Throws a 503 problem when neither can be had, or a 401 one when the account is gone.
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
    const answer = await fetch(new URL('/api/accounts/me', accountsUrl), {
      headers: { authorization, accept: 'application/json' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'error',
    });
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

  const last = async (accountId: number): Promise<string | undefined> => {
    const [row] = await select<{ author_name: string }>(
      pool,
      'SELECT author_name FROM reviews WHERE author_id = ? ORDER BY id DESC LIMIT 1',
      [accountId],
    );
    return row?.author_name;
  };

  return {
    async nameOf(accountId, authorization) {
      let name: string | undefined;
      try {
        name = await ask(accountId, authorization);
      } catch (error) {
        if ((error as { status?: unknown }).status === 401) throw error;
        log.warn(
          { err: error, accountId },
          'the accounts do not tell the name of an author; taking the last known one',
        );
      }
      name ??= await last(accountId);
      if (name === undefined) throw problems.unavailable(1, 'Your account cannot be looked up at the moment');
      return name;
    },
  };
}
