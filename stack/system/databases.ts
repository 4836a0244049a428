import { randomBytes } from 'node:crypto';
import { dialectOf } from '@strangler/platform/mysql/pool.ts';
import { type Connection, createConnection } from 'mysql2/promise';
import { type AccountName, accountNames, grantsFor, schemas } from './accounts.ts';
import type { SystemDatabases } from './definitions.ts';

export type AccountPasswords = Record<AccountName, string>;

/**
 * Makes the databases and the accounts of the system where they are missing, and gives each account its rights and its
 * password: the one that is given, else a new one.
 * `fresh` empties databases that are there already. Takes the administrator's URL.
 */
export async function createDatabases(
  adminUrl: string,
  options: { fresh: boolean; passwords?: Partial<AccountPasswords> },
): Promise<SystemDatabases> {
  const connection = await createConnection({ uri: adminUrl, connectTimeout: 10_000 });
  try {
    const accounts = Object.keys(accountNames) as AccountName[];
    const passwords = Object.fromEntries(
      accounts.map((account) => [account, options.passwords?.[account] ?? newPassword()]),
    ) as AccountPasswords;
    for (const schema of Object.values(schemas)) {
      if (options.fresh) await connection.query(`DROP DATABASE IF EXISTS \`${schema}\``);
      await connection.query(`CREATE DATABASE IF NOT EXISTS \`${schema}\` CHARACTER SET utf8mb4`);
    }
    const grants = grantsFor(await dialectOf(connection));
    for (const account of accounts) {
      await giveAccount(connection, accountNames[account], passwords[account], grants[account]);
    }
    const as = (account: AccountName, schema: string): string => {
      const url = new URL(adminUrl);
      url.username = accountNames[account];
      url.password = passwords[account];
      url.pathname = `/${schema}`;
      return url.href;
    };
    return {
      shopUrl: as('shop', schemas.shop),
      catalogUrl: as('catalog', schemas.catalog),
      relayUrl: as('relay', schemas.shop),
      catalogRelayUrl: as('catalogRelay', schemas.catalog),
      inventoryUrl: as('inventory', schemas.inventory),
      inventoryRelayUrl: as('inventoryRelay', schemas.inventory),
      notificationsUrl: as('notifications', schemas.notifications),
      notificationsRelayUrl: as('notificationsRelay', schemas.notifications),
      paymentsUrl: as('payments', schemas.payments),
      paymentsRelayUrl: as('paymentsRelay', schemas.payments),
      ordersUrl: as('orders', schemas.orders),
      ordersRelayUrl: as('ordersRelay', schemas.orders),
      mover: {
        shopUrl: as('mover', schemas.shop),
        catalogUrl: as('mover', schemas.catalog),
        inventoryUrl: as('mover', schemas.inventory),
        notificationsUrl: as('mover', schemas.notifications),
        paymentsUrl: as('mover', schemas.payments),
        ordersUrl: as('mover', schemas.orders),
      },
    };
  } finally {
    await connection.end();
  }
}

async function giveAccount(
  connection: Connection,
  user: string,
  password: string,
  grants: readonly string[],
): Promise<void> {
  await connection.query(`CREATE USER IF NOT EXISTS '${user}'@'%' IDENTIFIED BY ?`, [password]);
  await connection.query(`ALTER USER '${user}'@'%' IDENTIFIED BY ?`, [password]);
  await connection.query(`REVOKE ALL PRIVILEGES, GRANT OPTION FROM '${user}'@'%'`);
  for (const grant of grants) await connection.query(`GRANT ${grant} TO '${user}'@'%'`);
}

/** Hexadecimal: nothing in it needs quoting, in SQL or in a URL. */
const newPassword = (): string => randomBytes(18).toString('hex');
