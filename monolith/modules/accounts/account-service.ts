import { invalid } from '@strangler/platform/http/invalid.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { lineOfText } from '@strangler/platform/http/text.ts';
import { type Sequelize, type Transaction, UniqueConstraintError } from 'sequelize';
import { z } from 'zod';
import { unauthorized } from '../../auth/auth.ts';
import { hashPassword, type ScryptParameters, verifyPassword } from '../../auth/password.ts';
import type { Clock } from '../../clock.ts';
import type { EventRecorder } from '../../events/event-recorder.ts';
import { inTransaction } from '../../transaction.ts';
import type { Account, AccountRow, AccountsModels } from './models.ts';

/** An account as its owner sees it. */
export type AccountView = {
  id: number;
  email: string;
  display_name: string;
  role: AccountRow['role'];
  created_at: string;
};

const email = z
  .string()
  .transform((text) => text.trim().toLowerCase())
  .pipe(z.email().max(254));
const password = z.string().min(10).max(200);
const displayName = lineOfText({ min: 1, max: 100 });

export const newAccount = z.strictObject({ email, password, display_name: displayName });
export const accountPatch = z.strictObject({
  display_name: displayName.optional(),
  password: password.optional(),
  /** Needed to change the password. */
  current_password: z.string().max(200).optional(),
});
/** Any text is a possible password here: what was allowed at registering may have changed since. */
export const credentials = z.strictObject({ email, password: z.string().min(1).max(200) });

export type NewAccount = z.infer<typeof newAccount>;
export type AccountPatch = z.infer<typeof accountPatch>;
export type Credentials = z.infer<typeof credentials>;

export type AccountService = {
  /** Throws a 409 problem when the e-mail address has an account. */
  register(account: NewAccount): Promise<AccountView>;
  /** The account with these credentials. Throws the same 401 problem, after the same time, whatever is wrong with them. */
  authenticate(credentials: Credentials): Promise<AccountRow>;
  get(id: number): Promise<AccountView>;
  patch(id: number, patch: AccountPatch): Promise<AccountView>;
};

export function createAccountService({
  sequelize,
  models: { Account },
  events,
  clock,
  scrypt,
  onPasswordChanged,
}: {
  sequelize: Sequelize;
  models: AccountsModels;
  events: EventRecorder;
  clock: Clock;
  scrypt: ScryptParameters;
  onPasswordChanged(accountId: number): Promise<void>;
}): AccountService {
  let decoy: Promise<string> | undefined;

  /** In a transaction the account is locked until its end. */
  const load = async (id: number, transaction?: Transaction): Promise<Account> => {
    const account = await Account.findByPk(id, transaction ? { lock: transaction.LOCK.UPDATE, transaction } : {});
    if (!account) throw unauthorized('The account of this access token does not exist', 'invalid_token');
    return account;
  };

  const newPasswordHash = async (
    account: Account,
    { password, current_password }: { password: string; current_password: string | undefined },
  ): Promise<string> => {
    if (current_password === undefined) throw invalid('body', 'current_password', 'is required');
    if (!(await verifyPassword(current_password, account.password_hash))) {
      throw problems.forbidden('The current password is wrong');
    }
    return hashPassword(password, scrypt);
  };

  return {
    async register(fields) {
      const now = clock.now();
      const row = {
        email: fields.email,
        display_name: fields.display_name,
        password_hash: await hashPassword(fields.password, scrypt),
        created_at: now,
        updated_at: now,
      };
      return inTransaction(sequelize, async (transaction) => {
        const account = await Account.create(row, { transaction }).catch((error: unknown) => {
          if (!(error instanceof UniqueConstraintError)) throw error;
          throw problems.conflict('There is already an account with this e-mail address');
        });
        const { id, email, display_name, role, created_at } = accountView(account);
        const registered = { account_id: id, email, display_name, role, occurred_at: created_at };
        await events.record('account.registered', registered, transaction);
        return accountView(account);
      });
    },

    async authenticate({ email, password }) {
      const account = await Account.findOne({ where: { email }, raw: true });
      // An unknown address costs as much time as a wrong password.
      decoy ??= hashPassword('nobody has this password', scrypt);
      const matches = await verifyPassword(password, account?.password_hash ?? (await decoy));
      if (!account || !matches) throw unauthorized('The e-mail address or the password is wrong');
      return account;
    },

    async get(id) {
      return accountView(await load(id));
    },

    async patch(id, { display_name, password, current_password }) {
      // Before the account is locked: it takes its time.
      const password_hash =
        password === undefined ? undefined : await newPasswordHash(await load(id), { password, current_password });
      const patched = await inTransaction(sequelize, async (transaction) => {
        const account = await load(id, transaction);
        const isRenamed = display_name !== undefined && display_name !== account.display_name;
        const changes = {
          ...(isRenamed ? { display_name } : {}),
          ...(password_hash === undefined ? {} : { password_hash }),
          updated_at: clock.now(),
        };
        await account.update(changes, { transaction });
        if (isRenamed) {
          const occurred_at = changes.updated_at.toISOString();
          await events.record('account.renamed', { account_id: id, display_name, occurred_at }, transaction);
        }
        return account;
      });
      if (password !== undefined) await onPasswordChanged(id);
      return accountView(patched);
    },
  };
}

export function accountView(row: AccountRow): AccountView {
  return {
    id: Number(row.id),
    email: row.email,
    display_name: row.display_name,
    role: row.role,
    created_at: row.created_at.toISOString(),
  };
}
