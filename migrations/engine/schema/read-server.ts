import type { Dialect } from '@strangler/platform/mysql/pool.ts';
import { type Queryable, rowsOf } from './queryable.ts';

/** A database server as the engine meets it: two may be of different makes, and each has its own way of saying things. */
export type ServerFacts = {
  dialect: Dialect;
  /** As the server tells it, such as `8.4.3` or `10.11.6-MariaDB`. */
  version: string;
  /** The database that the connection has selected. */
  database: string;
  /** The account that the server took the connection for, `user@host`. */
  account: string;
  maxAllowedPacketBytes: number;
  /** With a binary log and without `log_bin_trust_function_creators`, CREATE TRIGGER needs SUPER. */
  binaryLog: boolean;
  trustsFunctionCreators: boolean;
};

/** No database is selected: the address names none. */
export class NoDatabaseError extends Error {
  override name = 'NoDatabaseError';
}

/** No session could be had; the message is one line that says of which server and database, and why. */
export class ServerUnreachable extends Error {
  override name = 'ServerUnreachable';
}

/** What kind of server answers, and as whom; `end` names it in errors. @throws ServerUnreachable, NoDatabaseError */
export async function readServer(db: Queryable, end = 'database'): Promise<ServerFacts> {
  const [row] = await rowsOf<Record<string, string | number | null>>(
    db,
    `SELECT VERSION() AS version, DATABASE() AS db, CURRENT_USER() AS account, @@max_allowed_packet AS packet,
            @@log_bin AS binlog, @@log_bin_trust_function_creators AS trusts`,
  ).catch((error: unknown) => {
    throw unreachable(db, end, error);
  });
  const { version, db: database, account, packet, binlog, trusts } = row!;
  if (database === null) {
    throw new NoDatabaseError('expected an address that names a database, mysql://…/database, found one that does not');
  }
  return {
    dialect: String(version).toLowerCase().includes('mariadb') ? 'mariadb' : 'mysql',
    version: String(version),
    database: String(database),
    account: String(account),
    maxAllowedPacketBytes: Number(packet),
    binaryLog: Number(binlog) === 1,
    trustsFunctionCreators: Number(trusts) === 1,
  };
}

type Address = { host?: string; port?: number; database?: string };
type Connected = { pool?: { config?: { connectionConfig?: Address } }; connection?: { config?: Address } };

const unreachable = (db: Queryable, end: string, cause: unknown): ServerUnreachable => {
  const { pool, connection } = db as Connected;
  const address = pool?.config?.connectionConfig ?? connection?.config;
  const where = address === undefined ? '' : ` ${address.host}:${address.port}/${address.database ?? ''}`;
  const { message = '', code = '' } = cause as { message?: string; code?: string };
  // Of a name with several addresses there is no message, but one a address.
  const why = message === '' ? code : message.includes(code) ? message : `${message} (${code})`;
  return new ServerUnreachable(
    `${end}${where}: expected a MySQL or MariaDB server that takes this account, found ${why.replace(/\s+/g, ' ')}; ` +
      'see that it runs, that the address is right, and that the account may use the database',
    { cause },
  );
};
