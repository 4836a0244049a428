import { randomUUID } from 'node:crypto';
import type { Connection, Pool } from 'mysql2/promise';
import { partCount, partSql } from './part.ts';

/** Whatever runs queries: a pool or one of its connections. */
export type Queryable = Pick<Connection | Pool, 'query'>;

export const outboxTable = 'strangler_outbox';
export const leaseTable = 'strangler_outbox_lease';
export const relayTable = 'strangler_outbox_relay';
export const sourceTable = 'strangler_outbox_source';
/** How far captured changes have been applied, as their appliers tell. */
export const appliedTable = 'strangler_outbox_applied';
export const inboxTable = 'strangler_inbox';

/** Takes what no partition before it takes, so that an insert never fails for want of one. */
export const restPartition = 'p_rest';

/** Of a partition that holds the ids below `bound`. */
export const partitionName = (bound: bigint): string => `p_below_${bound}`;

/** Ids a partition of the table takes, unless told; the old ones go by whole partitions. */
export const defaultRowsPerPartition = 500_000;
/** Empty partitions that stand ready, unless told. */
export const defaultPartitionsAhead = 4;

/** The outbox's index on what must be published; the reader names it. */
export const pendingIndex = 'pending';

/** A row's columns that a writer gives, each an SQL expression. */
export type OutboxExpressions = {
  /** `'row'` or `'event'`, quotes included. */
  kind: string;
  epoch: string;
  /** The routing key, at most 255 bytes. */
  topic: string;
  /** The table or the aggregate's type, at most 64 characters. */
  subject: string;
  /** The canonical text of the key, at most 255 bytes of UTF-8. */
  subjectKey: string;
  op: string;
  /** A JSON object's text. */
  payload: string;
  /** A JSON object's text. */
  headers: string;
};

/**
 * The INSERT of one outbox row, from SQL expressions or `?` (then `subject` and `subjectKey` are needed twice: see
 * the order of columns). In a trigger it runs in the writer's transaction, whatever its session is set to.
 */
export function outboxInsertSql(e: OutboxExpressions): string {
  return (
    `INSERT INTO ${outboxTable} (part, epoch, kind, topic, subject, subject_key, op, payload, headers, created_at) ` +
    `VALUES (${partSql(e.subject, e.subjectKey)}, ${e.epoch}, ${e.kind}, ${e.topic}, ${e.subject}, ` +
    `CONVERT(${e.subjectKey} USING utf8mb4), ${e.op}, ${e.payload}, ${e.headers}, UTC_TIMESTAMP(6))`
  );
}

const text = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';
const tableOptions = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin';

// `subject_key` is bytes so that texts which differ in a trailing space differ. JSON is text: the engines' JSON types differ.
const outboxColumns: readonly (readonly [string, string])[] = [
  ['id', 'BIGINT UNSIGNED NOT NULL AUTO_INCREMENT'],
  ['part', 'TINYINT UNSIGNED NOT NULL'],
  ['published', 'TINYINT NOT NULL DEFAULT 0'],
  ['epoch', 'INT UNSIGNED NOT NULL'],
  ['kind', `ENUM('row','event') ${text} NOT NULL`],
  ['topic', `VARCHAR(255) ${text} NOT NULL`],
  ['subject', `VARCHAR(64) ${text} NOT NULL`],
  ['subject_key', 'VARBINARY(255) NOT NULL'],
  ['op', `VARCHAR(32) ${text} NOT NULL`],
  ['payload', `LONGTEXT ${text} NOT NULL`],
  ['headers', `TEXT ${text} NOT NULL`],
  ['created_at', 'DATETIME(6) NOT NULL'],
];

function outboxDdl(bounds: readonly bigint[]): string {
  const partitions = [
    ...bounds.map((bound) => `PARTITION ${partitionName(bound)} VALUES LESS THAN (${bound})`),
    `PARTITION ${restPartition} VALUES LESS THAN MAXVALUE`,
  ];
  return `CREATE TABLE IF NOT EXISTS ${outboxTable} (
    ${outboxColumns.map(([name, type]) => `${name} ${type}`).join(', ')},
    PRIMARY KEY (id),
    KEY ${pendingIndex} (published, part, id),
    KEY by_key (subject, subject_key, id)
  ) ${tableOptions} PARTITION BY RANGE (id) (${partitions.join(', ')})`;
}

const leaseDdl = `CREATE TABLE IF NOT EXISTS ${leaseTable} (
  part TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  owner VARCHAR(64) ${text} NULL,
  token BIGINT UNSIGNED NOT NULL DEFAULT 0,
  expires_at DATETIME(6) NULL
) ${tableOptions}`;

const relayDdl = `CREATE TABLE IF NOT EXISTS ${relayTable} (
  id VARCHAR(64) ${text} NOT NULL PRIMARY KEY,
  expires_at DATETIME(6) NOT NULL
) ${tableOptions}`;

const sourceDdl = `CREATE TABLE IF NOT EXISTS ${sourceTable} (
  only_row TINYINT NOT NULL PRIMARY KEY,
  uuid CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  installed_by ENUM('application','strangler') ${text} NOT NULL
) ${tableOptions}`;

const appliedDdl = `CREATE TABLE IF NOT EXISTS ${appliedTable} (
  slice VARCHAR(64) ${text} NOT NULL,
  part TINYINT UNSIGNED NOT NULL,
  id BIGINT UNSIGNED NOT NULL,
  told_at DATETIME(6) NOT NULL,
  PRIMARY KEY (slice, part)
) ${tableOptions}`;

const inboxDdl = `CREATE TABLE IF NOT EXISTS ${inboxTable} (
  consumer VARCHAR(64) ${text} NOT NULL,
  message_id VARCHAR(128) ${text} NOT NULL,
  handled_at DATETIME(6) NOT NULL,
  PRIMARY KEY (consumer, message_id),
  KEY by_age (handled_at)
) ${tableOptions}`;

/** Whose the outbox is: an application's that records events in it, or only there because something is captured. */
export type OutboxInstaller = 'application' | 'strangler';

export type InstallOptions = {
  rowsPerPartition?: number;
  partitionsAhead?: number;
  /** `application` unless told. Whoever comes first stays. */
  installedBy?: OutboxInstaller;
};

/** A table of the outbox's name stands there and is another one. */
export class OutboxSchemaError extends Error {
  override name = 'OutboxSchemaError';
}

/**
 * Makes the outbox and what relays need beside it, where they are not there yet. Changes nothing of what is there.
 * @throws OutboxSchemaError when a table of that name has other columns.
 */
export async function installOutbox(db: Queryable, options: InstallOptions = {}): Promise<void> {
  const [outbox, ...others] = outboxStatements(options);
  await db.query(outbox as string);
  await checkOutbox(db);
  for (const sql of others) await db.query(sql);
}

/** What installs the outbox, in this order. The source's UUID is drawn anew at each call. */
export function outboxStatements(options: InstallOptions = {}): string[] {
  const { rowsPerPartition = defaultRowsPerPartition, partitionsAhead = defaultPartitionsAhead } = options;
  const { installedBy = 'application' } = options;
  const bounds = Array.from({ length: partitionsAhead }, (_, at) => BigInt(rowsPerPartition) * BigInt(at + 1));
  const parts = Array.from({ length: partCount }, (_, part) => `(${part})`).join(', ');
  return [
    outboxDdl(bounds),
    leaseDdl,
    relayDdl,
    sourceDdl,
    appliedDdl,
    `INSERT IGNORE INTO ${leaseTable} (part) VALUES ${parts}`,
    `INSERT IGNORE INTO ${sourceTable} (only_row, uuid, installed_by) VALUES (1, '${randomUUID()}', '${installedBy}')`,
  ];
}

/** Who installed the outbox; undefined where there is none. */
export async function outboxInstaller(db: Queryable): Promise<OutboxInstaller | undefined> {
  const [found] = await rowsOf(db, 'SHOW TABLES LIKE ?', [sourceTable.replaceAll('_', '\\_')]);
  if (found === undefined) return undefined;
  const [row] = await rowsOf<{ installed_by: OutboxInstaller }>(db, `SELECT installed_by FROM ${sourceTable}`);
  return row?.installed_by;
}

/** Drops all of it, with what is not published: the caller has made sure. */
export async function dropOutbox(db: Queryable): Promise<void> {
  for (const table of [outboxTable, leaseTable, relayTable, sourceTable, appliedTable])
    await db.query(`DROP TABLE IF EXISTS ${table}`);
}

export async function installInbox(db: Queryable): Promise<void> {
  await db.query(inboxDdl);
}

export async function dropInbox(db: Queryable): Promise<void> {
  await db.query(`DROP TABLE IF EXISTS ${inboxTable}`);
}

/** What names this database's outbox rows for good: drawn when the outbox was installed, and gone with it. */
export async function sourceUuid(db: Queryable): Promise<string> {
  const [row] = await rowsOf<{ uuid: string }>(db, `SELECT uuid FROM ${sourceTable} WHERE only_row = 1`);
  if (row !== undefined) return row.uuid;
  throw new OutboxSchemaError(`${sourceTable}: expected one row, found none; run the installation of the outbox again`);
}

/** The rows of a query. */
export async function rowsOf<T>(db: Queryable, sql: string, values: readonly unknown[] = []): Promise<T[]> {
  const [rows] = await db.query(sql, [...values]);
  return rows as T[];
}

async function checkOutbox(db: Queryable): Promise<void> {
  const found = await rowsOf<{ name: string }>(
    db,
    `SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`,
    [outboxTable],
  );
  const names = found.map(({ name }) => name).join(', ');
  const expected = outboxColumns.map(([name]) => name).join(', ');
  if (names === expected) return;
  throw new OutboxSchemaError(
    `table ${outboxTable}: expected the columns ${expected}, found ${names}; rename or drop that table, then install again`,
  );
}
