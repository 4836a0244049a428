import type { Queryable } from '../schema/queryable.ts';

/**
 * The version of every row of the target that a captured change has been written of, or of which a delete has been
 * seen (`deleted`: a tombstone). A row of the target that stands in no line here was copied and never changed since:
 * version (0, 0).
 */
export const versionsTable = 'strangler_versions';

/** Changes that wait for another row to give up a unique value. */
export const parkedTable = 'strangler_parked';

/** How far each stream of changes has been applied. */
export const positionsTable = 'strangler_positions';

/** How far each table has been copied. */
export const backfillTable = 'strangler_backfill';

/** What the last comparison of each table has found. */
export const verifyRecordTable = 'strangler_verify';

const text = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';
const options = 'ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin';

// A key's text is bytes: texts that differ in a trailing space are of different rows.
const tables: readonly (readonly [string, string])[] = [
  [
    versionsTable,
    `table_name VARCHAR(64) ${text} NOT NULL,
     key_text VARBINARY(255) NOT NULL,
     epoch INT UNSIGNED NOT NULL,
     id BIGINT UNSIGNED NOT NULL,
     deleted TINYINT NOT NULL,
     PRIMARY KEY (table_name, key_text)`,
  ],
  [
    parkedTable,
    `table_name VARCHAR(64) ${text} NOT NULL,
     key_text VARBINARY(255) NOT NULL,
     epoch INT UNSIGNED NOT NULL,
     id BIGINT UNSIGNED NOT NULL,
     row_change LONGTEXT ${text} NOT NULL,
     unique_key VARCHAR(64) ${text} NOT NULL,
     attempts INT UNSIGNED NOT NULL DEFAULT 0,
     parked_at DATETIME(6) NOT NULL,
     PRIMARY KEY (table_name, key_text)`,
  ],
  [
    positionsTable,
    `name VARCHAR(255) ${text} NOT NULL PRIMARY KEY,
     epoch INT UNSIGNED NOT NULL,
     id BIGINT UNSIGNED NOT NULL,
     changed_at DATETIME(6) NOT NULL,
     applied_at DATETIME(6) NOT NULL`,
  ],
  [
    backfillTable,
    `table_name VARCHAR(64) ${text} NOT NULL PRIMARY KEY,
     state ENUM('running','done') ${text} NOT NULL,
     last_key LONGTEXT ${text} NULL,
     rows_read BIGINT UNSIGNED NOT NULL DEFAULT 0,
     rows_written BIGINT UNSIGNED NOT NULL DEFAULT 0,
     rows_parked BIGINT UNSIGNED NOT NULL DEFAULT 0,
     started_at DATETIME(6) NOT NULL,
     updated_at DATETIME(6) NOT NULL`,
  ],
  [
    verifyRecordTable,
    `table_name VARCHAR(64) ${text} NOT NULL PRIMARY KEY,
     started_at DATETIME(6) NOT NULL,
     finished_at DATETIME(6) NOT NULL,
     rows_compared BIGINT UNSIGNED NOT NULL,
     differences BIGINT UNSIGNED NOT NULL,
     unsettled BIGINT UNSIGNED NOT NULL,
     complete TINYINT NOT NULL`,
  ],
];

/** The names of all of them. */
export const ownTables: readonly string[] = tables.map(([name]) => name);

/** Those with a column `table_name` that says which of the target's tables a row is about. */
export const tablesByTarget: readonly string[] = ownTables.filter((name) => name !== positionsTable);

/** What makes them, where they are not there yet. */
export const targetTablesStatements = (): string[] =>
  tables.map(([name, columns]) => `CREATE TABLE IF NOT EXISTS ${name} (${columns}) ${options}`);

/** Makes the tables by which the target keeps its place, where they are not there yet. */
export async function installTargetTables(db: Queryable): Promise<void> {
  for (const sql of targetTablesStatements()) await db.query(sql);
}

/** Drops them, with all that they know. */
export async function dropTargetTables(db: Queryable): Promise<void> {
  for (const [name] of tables) await db.query(`DROP TABLE IF EXISTS ${name}`);
}

/** How many rows a statement says it has written or found. */
export async function affectedBy(db: Queryable, sql: string, values: readonly unknown[] = []): Promise<number> {
  const [result] = await db.query(sql, [...values]);
  return (result as { affectedRows: number }).affectedRows;
}
