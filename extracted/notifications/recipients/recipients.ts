import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';

export const locales = ['en', 'de'] as const;
export type Locale = (typeof locales)[number];

/** Of each notification a mail, of all unread ones of a day one mail, or none. */
export const mailChoices = ['each', 'digest', 'none'] as const;
export type MailChoice = (typeof mailChoices)[number];

export type Preferences = { locale: Locale; email: MailChoice };
export const usualPreferences: Preferences = { locale: 'en', email: 'each' };

export type Recipient = Preferences & { accountId: number; address: string | undefined; name: string | undefined };

export type Recipients = {
  /** Whom to write to. Without an address nothing is known of the account yet. */
  find(accountId: number): Promise<Recipient>;
  preferences(accountId: number): Promise<Preferences>;
  prefer(accountId: number, preferences: Preferences): Promise<void>;
};

type Row = {
  copied_email: string | null;
  copied_name: string | null;
  copied_at: Date | null;
  told_email: string | null;
  told_name: string | null;
  told_at: Date | null;
};

export function createRecipients({ pool }: { pool: Pool }): Recipients {
  const preferences = (accountId: number) => preferencesOf(pool, accountId);
  return {
    preferences,
    async find(accountId) {
      const [row] = await select<Row>(
        pool,
        `SELECT c.email AS copied_email, c.display_name AS copied_name, c.updated_at AS copied_at,
                t.email AS told_email, t.display_name AS told_name, t.told_at
           FROM (SELECT ? AS id) AS wanted
           LEFT JOIN recipients c ON c.id = wanted.id
           LEFT JOIN told_accounts t ON t.id = wanted.id`,
        [accountId],
      );
      return { accountId, ...(await preferences(accountId)), ...(row ? known(row) : noOne) };
    },
    async prefer(accountId, { locale, email }) {
      await change(
        pool,
        `INSERT INTO preferences (account_id, locale, email) VALUES (?, ?, ?)
         ON DUPLICATE KEY UPDATE locale = VALUES(locale), email = VALUES(email)`,
        [accountId, locale, email],
      );
    },
  };
}

const noOne = { address: undefined, name: undefined };

/** Addresses never change in an event, so the copy's is the better one; of two names the later one is. */
export function known(row: Row): Pick<Recipient, 'address' | 'name'> {
  const address = row.copied_email ?? row.told_email ?? undefined;
  const toldIsLater = row.told_at !== null && (row.copied_at === null || row.told_at > row.copied_at);
  const name = (toldIsLater ? row.told_name : row.copied_name) ?? row.told_name ?? undefined;
  return { address, name };
}

export async function preferencesOf(executor: Executor, accountId: number): Promise<Preferences> {
  const sql = 'SELECT locale, email FROM preferences WHERE account_id = ?';
  const [row] = await select<Preferences>(executor, sql, [accountId]);
  return row ?? usualPreferences;
}

/** Keeps what an event says of an account. Events of one account come in order; a replay of older ones changes nothing. */
export async function tellAccount(
  transaction: Executor,
  { accountId, email, displayName, at }: { accountId: number; email?: string; displayName: string; at: Date },
): Promise<void> {
  await change(
    transaction,
    `INSERT INTO told_accounts (id, email, display_name, told_at) VALUES (?, ?, ?, ?)
     ON DUPLICATE KEY UPDATE email = COALESCE(VALUES(email), email),
       display_name = IF(VALUES(told_at) >= told_at, VALUES(display_name), display_name),
       told_at = GREATEST(told_at, VALUES(told_at))`,
    [accountId, email ?? null, displayName, at],
  );
}
