import { hashPassword } from '@strangler/monolith/auth/password.ts';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { ordersAccountEmail } from './definitions.ts';

/**
 * Makes the orders' account at the shop, an administrator's, where it is missing, and gives it this password. Takes the shop's database.
 * @throws Error where somebody else has the address: nobody is made an administrator by this.
 */
export async function giveOrdersAccount(shopUrl: string, password: string): Promise<void> {
  const passwordHash = await hashPassword(password);
  const connection = await createConnection({ uri: shopUrl, connectTimeout: 10_000 });
  try {
    await connection.query(
      `INSERT IGNORE INTO accounts (email, display_name, role, password_hash, created_at, updated_at)
       VALUES (?, 'Orders', 'admin', ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))`,
      [ordersAccountEmail, passwordHash],
    );
    await connection.query("UPDATE accounts SET password_hash = ? WHERE email = ? AND role = 'admin'", [
      passwordHash,
      ordersAccountEmail,
    ]);
    const [[found]] = await connection.query<RowDataPacket[]>(
      'SELECT role, password_hash FROM accounts WHERE email = ?',
      [ordersAccountEmail],
    );
    if (found?.password_hash === passwordHash) return;
    throw new Error(
      `accounts of the shop: expected ${ordersAccountEmail} to be an administrator's, found ${JSON.stringify(found?.role)}; ` +
        'the orders log in with it, so whoever has registered it needs another address',
    );
  } finally {
    await connection.end();
  }
}
