import { problems } from '@strangler/platform/http/problem.ts';
import { UniqueConstraintError } from 'sequelize';
import { z } from 'zod';
import { unauthorized } from '../../auth/auth.ts';
import { hashPassword, type ScryptParameters, verifyPassword } from '../../auth/password.ts';
import type { Clock } from '../../clock.ts';
import { invalid } from '../../http/invalid.ts';
import { lineOfText } from '../../http/text.ts';
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
  models: { Account },
  clock,
  scrypt,
  onPasswordChanged,
}: {
  models: AccountsModels;
  clock: Clock;
  scrypt: ScryptParameters;
  onPasswordChanged(accountId: number): Promise<void>;
}): AccountService {
  let decoy: Promise<string> | undefined;

  const load = async (id: number): Promise<Account> => {
    const account = await Account.findByPk(id);
    if (!account) throw unauthorized('The account of this access token does not exist', 'invalid_token');
    return account;
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
      const account = await Account.create(row).catch((error: unknown) => {
        if (!(error instanceof UniqueConstraintError)) throw error;
        throw problems.conflict('There is already an account with this e-mail address');
      });
      return accountView(account);
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
      const account = await load(id);
      const changes: Partial<AccountRow> = { updated_at: clock.now() };
      if (display_name !== undefined) changes.display_name = display_name;
      if (password !== undefined) {
        if (current_password === undefined) throw invalid('body', 'current_password', 'is required');
        if (!(await verifyPassword(current_password, account.password_hash))) {
          throw problems.forbidden('The current password is wrong');
        }
        changes.password_hash = await hashPassword(password, scrypt);
      }
      await account.update(changes);
      if (password !== undefined) await onPasswordChanged(id);
      return accountView(account);
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
