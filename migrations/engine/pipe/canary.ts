import type { SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import type { Dialect } from '@strangler/platform/mysql/pool.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import type { ColumnSchema, TableSchema } from '../schema/table-schema.ts';

/**
 * A table of the engine's own at both ends of a pipe, which is captured and applied like every other. A token that is
 * written at one end and read at the other proves capture, outbox, relay, broker and applier in one. It is never copied,
 * compared or fenced.
 */
export const canaryTable = 'strangler_canary';

const text = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

const canaryTableSql = `CREATE TABLE IF NOT EXISTS ${canaryTable} (
  slice VARCHAR(64) ${text} NOT NULL PRIMARY KEY,
  token VARCHAR(64) ${text} NOT NULL,
  sent_at DATETIME(6) NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`;

/** As a slice's pipe has it among its tables. */
export const canarySliceTable: SliceTable = {
  source: canaryTable,
  target: canaryTable,
  key: null,
  columns: null,
  transform: null,
  reference: false,
  until: null,
};

/** Makes the table, where it is not there yet. */
export async function installCanary(db: Queryable): Promise<void> {
  await db.query(canaryTableSql);
}

/** Forgets a slice, and drops the table with the last of them. The slice's capture must be gone. */
export async function dropCanary(db: Queryable, slice: string): Promise<void> {
  try {
    await db.query(`DELETE FROM ${canaryTable} WHERE slice = ?`, [slice]);
    const [other] = await rowsOf(db, `SELECT 1 FROM ${canaryTable} LIMIT 1`);
    const [captured] = await rowsOf(
      db,
      'SELECT 1 FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = ? LIMIT 1',
      [canaryTable],
    );
    if (other === undefined && captured === undefined) await db.query(`DROP TABLE IF EXISTS ${canaryTable}`);
  } catch (error) {
    if (!isMissingTable(error)) throw error;
  }
}

/**
 * Writes a token at the end where a pipe begins, as an ordinary session does.
 * @param slice the slice's own name, whichever way the pipe flows
 * @param token at most 64 characters, another one each time
 */
export async function sendCanary(source: Queryable, slice: string, token: string): Promise<void> {
  await source.query(
    `INSERT INTO ${canaryTable} (slice, token, sent_at) VALUES (?, ?, UTC_TIMESTAMP(6))
     ON DUPLICATE KEY UPDATE token = VALUES(token), sent_at = VALUES(sent_at)`,
    [slice, token],
  );
}

/** The token that has come to the end where a pipe ends; undefined where none has. */
export async function readCanary(target: Queryable, slice: string): Promise<string | undefined> {
  const [row] = await rowsOf<{ token: string }>(target, `SELECT token FROM ${canaryTable} WHERE slice = ?`, [
    slice,
  ]).catch((error: unknown) => {
    if (isMissingTable(error)) return [];
    throw error;
  });
  return row?.token;
}

/** One end of a pipe. */
export type CanaryEnd = { database: string; dialect: Dialect };

/** The table's mapping onto itself; nothing is looked at, for the table is the engine's own. */
export const mappedCanary = (pipe: string, source: CanaryEnd, target: CanaryEnd): MappedTable => ({
  mapping: {
    slice: pipe,
    source: canaryTable,
    target: canaryTable,
    key: ['slice'],
    targetKey: ['slice'],
    columns: columns.map(({ name }) => ({ target: name, from: 'column', column: name })),
    captured: columns.map(({ name }) => name),
    transform: null,
  },
  source: schemaIn(source.database),
  sourceDialect: source.dialect,
  target: schemaIn(target.database),
  targetDialect: target.dialect,
});

export const isCanary = ({ mapping }: MappedTable): boolean => mapping.source === canaryTable;

const column = (name: string, type: string, more: Partial<ColumnSchema>): ColumnSchema => ({
  name,
  type,
  fullType: type,
  unsigned: false,
  nullable: false,
  maxChars: null,
  maxBytes: null,
  precision: null,
  scale: null,
  fractionDigits: null,
  charset: null,
  collation: null,
  padsSpace: false,
  members: [],
  hasDefault: false,
  autoIncrement: false,
  generated: null,
  ...more,
});

const name64: Partial<ColumnSchema> = {
  fullType: 'varchar(64)',
  maxChars: 64,
  maxBytes: 256,
  charset: 'utf8mb4',
  collation: 'utf8mb4_bin',
  padsSpace: true,
};

const columns: readonly ColumnSchema[] = [
  column('slice', 'varchar', name64),
  column('token', 'varchar', name64),
  column('sent_at', 'datetime', { fullType: 'datetime(6)', fractionDigits: 6 }),
];

const schemaIn = (database: string): TableSchema => ({
  database,
  name: canaryTable,
  tableType: 'BASE TABLE',
  partitioned: false,
  storageEngine: 'InnoDB',
  columns,
  primaryKey: ['slice'],
  uniqueKeys: [],
  foreignKeys: [],
  referencedBy: [],
  triggers: [],
  rowsEstimate: 0,
});

const isMissingTable = (error: unknown): boolean => (error as { errno?: number } | null)?.errno === 1146;
