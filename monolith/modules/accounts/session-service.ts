import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { Op, type Sequelize, type Transaction } from 'sequelize';
import { z } from 'zod';
import type { AccessTokens } from '../../auth/access-token.ts';
import { type Identity, unauthorized } from '../../auth/auth.ts';
import type { Clock } from '../../clock.ts';
import { inTransaction } from '../../transaction.ts';
import type { AccountRow, AccountsModels } from './models.ts';

/** What logging in and refreshing answer with (RFC 6749 section 5.1). */
export type TokensView = {
  access_token: string;
  token_type: 'Bearer';
  /** Seconds. */
  expires_in: number;
  refresh_token: string;
};

export const refreshRequest = z.strictObject({ refresh_token: z.string().min(1).max(200) });

export type SessionService = {
  /** Begins a session: the first token of a new family. */
  begin(account: Pick<AccountRow, 'id' | 'role'>): Promise<TokensView>;
  /**
   * Exchanges a refresh token for its successor. A token that was exchanged before has been stolen, or its answer was
   * lost: either way the whole family is revoked. Throws a 401 problem when there is nothing to give.
   */
  refresh(refreshToken: string): Promise<TokensView>;
  end(identity: Identity): Promise<void>;
  endAll(accountId: number): Promise<void>;
  /** Deletes refresh tokens that have expired; returns how many. */
  deleteExpired(): Promise<number>;
};

/** The most rows that one statement of `deleteExpired` deletes, so that no lock is held for long. */
const DELETE_BATCH = 1000;

type Exchange = { kind: 'exchanged'; tokens: TokensView } | { kind: 'refused' };

export function createSessionService({
  sequelize,
  models: { Account, RefreshToken },
  accessTokens,
  clock,
  ttlMs,
}: {
  sequelize: Sequelize;
  models: AccountsModels;
  accessTokens: AccessTokens;
  clock: Clock;
  ttlMs: number;
}): SessionService {
  const give = async (
    account: Pick<AccountRow, 'id' | 'role'>,
    familyId: string,
    transaction: Transaction | null,
  ): Promise<TokensView> => {
    const refreshToken = randomBytes(32).toString('base64url');
    const now = clock.now();
    await RefreshToken.create(
      {
        account_id: account.id,
        family_id: familyId,
        token_hash: digest(refreshToken),
        expires_at: new Date(now.getTime() + ttlMs),
        created_at: now,
      },
      { transaction },
    );
    const identity: Identity = { accountId: Number(account.id), role: account.role, sessionId: familyId };
    const { token, expiresInSeconds } = await accessTokens.issue(identity);
    return {
      access_token: token,
      token_type: 'Bearer',
      expires_in: expiresInSeconds,
      refresh_token: refreshToken,
    };
  };

  const revoke = (where: { family_id: string } | { account_id: number }, transaction: Transaction | null) =>
    RefreshToken.update({ revoked_at: clock.now() }, { where: { ...where, revoked_at: null }, transaction });

  const exchange = (refreshToken: string): Promise<Exchange> =>
    inTransaction(sequelize, async (transaction) => {
      const row = await RefreshToken.findOne({
        where: { token_hash: digest(refreshToken) },
        raw: true,
        transaction,
        lock: transaction.LOCK.UPDATE,
      });
      if (!row || row.revoked_at !== null || row.expires_at <= clock.now()) return { kind: 'refused' };
      if (row.used_at !== null) {
        await revoke({ family_id: row.family_id }, transaction);
        return { kind: 'refused' };
      }
      await RefreshToken.update({ used_at: clock.now() }, { where: { id: row.id }, transaction });
      const account = await Account.findByPk(row.account_id, { raw: true, transaction });
      if (!account) return { kind: 'refused' };
      return { kind: 'exchanged', tokens: await give(account, row.family_id, transaction) };
    });

  return {
    begin: (account) => give(account, randomUUID(), null),

    async refresh(refreshToken) {
      // The problem is thrown outside of the transaction: the revocation must be kept.
      const result = await exchange(refreshToken);
      if (result.kind === 'refused')
        throw unauthorized('The refresh token is not valid; log in again', 'invalid_token');
      return result.tokens;
    },

    async end({ sessionId }) {
      if (sessionId !== undefined) await revoke({ family_id: sessionId }, null);
    },

    async endAll(accountId) {
      await revoke({ account_id: accountId }, null);
    },

    async deleteExpired() {
      let deleted = 0;
      for (;;) {
        const batch = await RefreshToken.destroy({
          where: { expires_at: { [Op.lt]: clock.now() } },
          limit: DELETE_BATCH,
        });
        deleted += batch;
        if (batch < DELETE_BATCH) return deleted;
      }
    },
  };
}

function digest(refreshToken: string): string {
  return createHash('sha256').update(refreshToken).digest('hex');
}
