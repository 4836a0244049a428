import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import { dialectOf } from '@strangler/platform/mysql/pool.ts';
import type { Pool, PoolConnection } from 'mysql2/promise';
import { TableBusyError } from '../capture/lock-table.ts';
import { quoteName } from '../schema/identifiers.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { readTable } from '../schema/read-table.ts';
import type { ForeignKey } from '../schema/table-schema.ts';
import { retiredName, retiredTablesTable } from './retired-name.ts';

/** Foreign keys that were dropped when a slice was completed, so that they can be made again. */
export const retiredKeysTable = 'strangler_retired_keys';

export type Retirement = { renamed: { table: string; to: string }[]; droppedKeys: { table: string; name: string }[] };

/** The tables cannot be given their names back. */
export class NothingRetired extends Error {
  override name = 'NothingRetired';
}

export type RetireOptions = { tries?: number; signal?: AbortSignal };

const text = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

/**
 * Takes tables of a slice out of use: drops the foreign keys between them and the other tables, and gives them other
 * names, all at once. Their rows, and the keys among them, stay. What was dropped is written down before. Killed half-way
 * it is run again. Whoever uses them by their old names is told that there is no such table.
 * @throws TableBusyError with the tables still under their names
 */
export async function retireTables(
  pool: Pool,
  { slice, database, tables }: { slice: string; database: string; tables: readonly string[] },
  options: RetireOptions = {},
): Promise<Retirement> {
  await makeRecords(pool);
  const present = await presentOf(pool, database, tables);
  const inside = new Set(tables.map((name) => name.toLowerCase()));
  const keys = new Map<string, ForeignKey>();
  const dialect = await dialectOf(pool);
  for (const table of present) {
    const schema = await readTable(pool, { dialect, database, table });
    for (const key of [...(schema?.foreignKeys ?? []), ...(schema?.referencedBy ?? [])]) {
      const within = inside.has(key.table.toLowerCase()) && inside.has(key.referencedTable.toLowerCase());
      if (!within) keys.set(`${key.table}.${key.name}`, key);
    }
  }
  const droppedKeys: Retirement['droppedKeys'] = [];
  await withShortWaits(pool, options, async (connection, patiently) => {
    for (const key of keys.values()) {
      await connection.query(
        `INSERT INTO ${retiredKeysTable} (slice, table_name, key_name, statement) VALUES (?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE statement = VALUES(statement)`,
        [slice, key.table, key.name, addKeySql(key)],
      );
      await patiently(key.table, `ALTER TABLE ${quoteName(key.table)} DROP FOREIGN KEY ${quoteName(key.name)}`);
      droppedKeys.push({ table: key.table, name: key.name });
    }
    // Before they are renamed: written down of a table that is there still, it says nothing.
    for (const name of present) {
      await connection.query(
        `INSERT INTO ${retiredTablesTable} (table_name, slice) VALUES (?, ?) ON DUPLICATE KEY UPDATE slice = VALUES(slice)`,
        [name, slice],
      );
    }
    const pairs = present.map((name) => `${quoteName(name)} TO ${quoteName(retiredName(name))}`);
    if (pairs.length > 0) await patiently(present.join(', '), `RENAME TABLE ${pairs.join(', ')}`);
  });
  return { renamed: present.map((table) => ({ table, to: retiredName(table) })), droppedKeys };
}

/**
 * Gives the tables of a slice their names back, and makes the foreign keys again that were dropped. Rows are not checked
 * against them: the tables are behind until they have been brought into step. Killed half-way it is run again.
 * @throws NothingRetired where a retired table is gone, or its name taken
 */
export async function reviveTables(
  pool: Pool,
  { slice, database, tables }: { slice: string; database: string; tables: readonly string[] },
  options: RetireOptions = {},
): Promise<Retirement> {
  const present = await presentOf(pool, database, tables);
  const retired = await presentOf(pool, database, tables.map(retiredName));
  const wanted: string[] = [];
  for (const table of tables) {
    const has = present.includes(table);
    const old = retired.includes(retiredName(table));
    if (has && old) {
      throw new NothingRetired(
        `${database}.${table}: expected the name to be free for ${retiredName(table)}, found another table there; rename that one first`,
      );
    }
    if (!has && !old) {
      throw new NothingRetired(
        `${database}.${retiredName(table)}: expected the table that was kept, found none: it has been dropped, and there is no way back`,
      );
    }
    if (old) wanted.push(table);
  }
  // Run again they have been dropped, and an earlier version has made one of them.
  await makeRecords(pool);
  const keys = await rowsOf<{ table: string; name: string; statement: string }>(
    pool,
    `SELECT table_name AS \`table\`, key_name AS name, statement FROM ${retiredKeysTable} WHERE slice = ? ORDER BY table_name, key_name`,
    [slice],
  );
  await withShortWaits(pool, options, async (connection, patiently) => {
    const pairs = wanted.map((name) => `${quoteName(retiredName(name))} TO ${quoteName(name)}`);
    if (pairs.length > 0) await patiently(wanted.join(', '), `RENAME TABLE ${pairs.join(', ')}`);
    await connection.query('SET SESSION foreign_key_checks = 0');
    for (const { table, name, statement } of keys) {
      if (!(await hasKey(connection, database, table, name))) await patiently(table, statement);
      await connection.query(`DELETE FROM ${retiredKeysTable} WHERE slice = ? AND table_name = ? AND key_name = ?`, [
        slice,
        table,
        name,
      ]);
    }
    await connection.query(`DELETE FROM ${retiredTablesTable} WHERE slice = ?`, [slice]);
  });
  for (const record of [retiredKeysTable, retiredTablesTable]) await dropIfEmpty(pool, record);
  return {
    renamed: wanted.map((table) => ({ table: retiredName(table), to: table })),
    droppedKeys: keys.map(({ table, name }) => ({ table, name })),
  };
}

/** What was put away is written down in these. */
async function makeRecords(pool: Pool): Promise<void> {
  await pool.query(
    `CREATE TABLE IF NOT EXISTS ${retiredKeysTable} (
       slice VARCHAR(64) ${text} NOT NULL,
       table_name VARCHAR(64) ${text} NOT NULL,
       key_name VARCHAR(64) ${text} NOT NULL,
       statement TEXT ${text} NOT NULL,
       PRIMARY KEY (slice, table_name, key_name)
     ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
  );
  await pool.query(
    `CREATE TABLE IF NOT EXISTS ${retiredTablesTable} (
       table_name VARCHAR(64) ${text} NOT NULL PRIMARY KEY,
       slice VARCHAR(64) ${text} NOT NULL
     ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
  );
}

const dropIfEmpty = async (pool: Pool, table: string): Promise<void> => {
  const [other] = await rowsOf(pool, `SELECT 1 FROM ${table} LIMIT 1`);
  if (other === undefined) await pool.query(`DROP TABLE IF EXISTS ${table}`);
};

const addKeySql = (key: ForeignKey): string => {
  const list = (names: readonly string[]) => names.map(quoteName).join(', ');
  const referenced = `${quoteName(key.referencedDatabase)}.${quoteName(key.referencedTable)}`;
  return (
    `ALTER TABLE ${quoteName(key.table)} ADD CONSTRAINT ${quoteName(key.name)} FOREIGN KEY (${list(key.columns)}) ` +
    `REFERENCES ${referenced} (${list(key.referencedColumns)})${rule('DELETE', key.onDelete)}${rule('UPDATE', key.onUpdate)}`
  );
};

/** InnoDB does the same for both of these as for none, and tells them otherwise than they were said. */
const rule = (on: 'DELETE' | 'UPDATE', action: string): string =>
  action === 'NO ACTION' || action === 'RESTRICT' ? '' : ` ON ${on} ${action}`;

const hasKey = async (db: Queryable, database: string, table: string, name: string): Promise<boolean> =>
  (
    await rowsOf(
      db,
      `SELECT 1 FROM information_schema.TABLE_CONSTRAINTS
       WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND CONSTRAINT_NAME = ? AND CONSTRAINT_TYPE = 'FOREIGN KEY'`,
      [database, table, name],
    )
  ).length > 0;

/** Of these names those that are tables, in the order given. */
async function presentOf(db: Queryable, database: string, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return [];
  const rows = await rowsOf<{ name: string }>(
    db,
    'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME IN (?)',
    [database, names],
  );
  const found = new Set(rows.map(({ name }) => name));
  return names.filter((name) => found.has(name));
}

type Patiently = (tables: string, sql: string) => Promise<void>;

/** On a session whose statements wait a second for a table and are then tried again: whoever comes behind waits no longer. */
async function withShortWaits(
  pool: Pool,
  { tries = 30, signal }: RetireOptions,
  work: (connection: PoolConnection, patiently: Patiently) => Promise<void>,
): Promise<void> {
  const connection = await pool.getConnection();
  try {
    await connection.query('SET SESSION lock_wait_timeout = 1');
    await work(connection, async (tables, sql) => {
      let delayMs: number | undefined;
      for (let attempt = 1; ; attempt += 1) {
        try {
          await connection.query(sql);
          return;
        } catch (error) {
          const { errno } = error as { errno?: number };
          if (errno !== 1205 && errno !== 1213) throw error;
          delayMs = nextBackoffMs(delayMs, { baseMs: 200, capMs: 2000 });
          if (attempt < tries && (await pause(delayMs, signal)) === 'elapsed') continue;
          throw new TableBusyError(
            `${tables}: expected no transaction that uses it for a moment within ${attempt} tries, found some; let the long ones end, or end them, and run this again`,
            { cause: error },
          );
        }
      }
    });
  } finally {
    // Its session is set otherwise than the pool's.
    connection.destroy();
  }
}
