import { createHash } from 'node:crypto';
import { defaultScryptParameters, hashPassword, type ScryptParameters } from '../../auth/password.ts';
import { createRandom } from '../../seed/random.ts';
import { SEED_BEGIN_MS, SEED_END_MS, type SeedPlan, type SeedTable } from '../../seed/seed-table.ts';
import { sqlTime } from '../../sql-time.ts';

/** Every seeded account has it: admin@shop.example, customer1@shop.example, customer2@shop.example and so on. */
export const SEED_PASSWORD = 'shop-password';

const FIRST_NAMES = [
  'Ada',
  'Amélie',
  'Bjørn',
  'Chidi',
  'Dana',
  'Eva',
  'Farid',
  'Grace',
  'Hanna',
  'Ivan',
  'Jürgen',
  'Kwame',
  'Lucía',
  'Mei',
  'Noor',
  'Olga',
  'Pedro',
  'Quentin',
  'Rosa',
  'Søren',
  'Tomás',
  'Uma',
  'Vera',
  'Wanda',
  'Yusuf',
  'Zoë',
];

/** Accounts whose password hash was made once for all: hashing half a million would take a day. */
export async function accountsTables(
  plan: SeedPlan,
  scrypt: ScryptParameters = defaultScryptParameters,
): Promise<SeedTable[]> {
  const salt = createHash('sha256').update(`accounts ${plan.seed}`).digest().subarray(0, 16);
  const passwordHash = await hashPassword(SEED_PASSWORD, scrypt, salt);
  return [
    {
      table: 'accounts',
      columns: ['id', 'email', 'display_name', 'role', 'password_hash', 'created_at', 'updated_at'],
      rowCount: ({ accounts }) => accounts,
      *rows({ accounts, seed }) {
        const opened = sqlTime(SEED_BEGIN_MS);
        yield [1, 'admin@shop.example', 'Admin', 'admin', passwordHash, opened, opened];
        for (let id = 2; id <= accounts; id++) {
          const random = createRandom(seed, 'account', id);
          const name = `${random.pick(FIRST_NAMES)} ${String.fromCharCode(65 + random.integer(0, 25))}.`;
          const since = sqlTime(SEED_BEGIN_MS + Math.floor(((SEED_END_MS - SEED_BEGIN_MS) * id) / (accounts + 1)));
          yield [id, `customer${id - 1}@shop.example`, name, 'customer', passwordHash, since, since];
        }
      },
    },
  ];
}
