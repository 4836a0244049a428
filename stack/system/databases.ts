import { randomBytes } from 'node:crypto';
import { type Connection, createConnection } from 'mysql2/promise';
import type { SystemDatabases } from './definitions.ts';

/** Schema and account of each part of the system. Whoever owns one has no right in the other. */
const shop = { schema: 'shop', user: 'shop' };
const catalog = { schema: 'catalog', user: 'catalog' };
const mover = 'strangler';

export type AccountPasswords = { shop: string; catalog: string; mover: string };

/**
 * Makes the databases and the accounts of the system where they are missing, and gives each account its password:
 * the one that is given, else a new one.
 * `fresh` empties databases that are there already. Takes the administrator's URL.
 */
export async function createDatabases(
  adminUrl: string,
  options: { fresh: boolean; passwords?: AccountPasswords },
): Promise<SystemDatabases> {
  const connection = await createConnection({ uri: adminUrl, connectTimeout: 10_000 });
  try {
    const passwords = options.passwords ?? { shop: newPassword(), catalog: newPassword(), mover: newPassword() };
    for (const { schema } of [shop, catalog]) {
      if (options.fresh) await connection.query(`DROP DATABASE IF EXISTS \`${schema}\``);
      await connection.query(`CREATE DATABASE IF NOT EXISTS \`${schema}\` CHARACTER SET utf8mb4`);
    }
    await account(connection, shop.user, passwords.shop, [shop.schema]);
    await account(connection, catalog.user, passwords.catalog, [catalog.schema]);
    await account(connection, mover, passwords.mover, [shop.schema, catalog.schema]);
    const as = (user: string, password: string, schema: string): string => {
      const url = new URL(adminUrl);
      url.username = user;
      url.password = password;
      url.pathname = `/${schema}`;
      return url.href;
    };
    return {
      shopUrl: as(shop.user, passwords.shop, shop.schema),
      catalogUrl: as(catalog.user, passwords.catalog, catalog.schema),
      mover: {
        shopUrl: as(mover, passwords.mover, shop.schema),
        catalogUrl: as(mover, passwords.mover, catalog.schema),
      },
    };
  } finally {
    await connection.end();
  }
}

/** Whether a table holds no row. */
export async function isEmpty(url: string, table: string): Promise<boolean> {
  const connection = await createConnection({ uri: url, connectTimeout: 10_000 });
  try {
    const [rows] = await connection.query('SELECT 1 FROM ?? LIMIT 1', [table]);
    return Array.isArray(rows) && rows.length === 0;
  } finally {
    await connection.end();
  }
}

async function account(
  connection: Connection,
  user: string,
  password: string,
  schemas: readonly string[],
): Promise<void> {
  await connection.query(`CREATE USER IF NOT EXISTS '${user}'@'%' IDENTIFIED BY ?`, [password]);
  await connection.query(`ALTER USER '${user}'@'%' IDENTIFIED BY ?`, [password]);
  await connection.query(`REVOKE ALL PRIVILEGES, GRANT OPTION FROM '${user}'@'%'`);
  for (const schema of schemas) await connection.query(`GRANT ALL PRIVILEGES ON \`${schema}\`.* TO '${user}'@'%'`);
}

/** Hexadecimal: nothing in it needs quoting, in SQL or in a URL. */
const newPassword = (): string => randomBytes(18).toString('hex');
