import type { Dialect } from '@strangler/platform/mysql/pool.ts';
import { schemaDialects } from './dialect.ts';
import { type Queryable, rowsOf } from './queryable.ts';
import { readMembers } from './read-members.ts';
import type { ColumnSchema, ForeignKey, TableSchema, TriggerSchema, UniqueKey } from './table-schema.ts';

/** Which table, on what kind of server. */
export type TableAddress = { dialect: Dialect; database: string; table: string };

/** Reads what information_schema tells of a table; undefined where the account sees no such table. */
export async function readTable(db: Queryable, address: TableAddress): Promise<TableSchema | undefined> {
  const { database, table } = address;
  const [facts] = await rowsOf<TableRow>(
    db,
    `SELECT TABLE_NAME AS name, TABLE_TYPE AS tableType, ENGINE AS storageEngine, TABLE_ROWS AS rowsEstimate,
            CREATE_OPTIONS AS options
     FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?`,
    [database, table],
  );
  if (facts === undefined) return undefined;
  // As the server spells it, which may be in other letters than it was asked for.
  const named = { ...address, table: facts.name };
  const columns = await readColumns(db, named);
  const keys = await readKeys(db, named);
  return {
    database,
    name: facts.name,
    tableType: facts.tableType,
    partitioned: /\bpartitioned\b/i.test(facts.options ?? ''),
    storageEngine: facts.storageEngine ?? '',
    columns,
    primaryKey: keys.find((key) => key.name === 'PRIMARY')?.columns ?? [],
    uniqueKeys: keys.filter((key) => key.name !== 'PRIMARY'),
    foreignKeys: await readForeignKeys(db, 'k.TABLE_SCHEMA = ? AND k.TABLE_NAME = ?', [database, facts.name]),
    referencedBy: await readForeignKeys(db, 'k.REFERENCED_TABLE_SCHEMA = ? AND k.REFERENCED_TABLE_NAME = ?', [
      database,
      facts.name,
    ]),
    triggers: await readTriggers(db, database, facts.name),
    rowsEstimate: Number(facts.rowsEstimate ?? 0),
  };
}

type TableRow = {
  name: string;
  tableType: string;
  storageEngine: string | null;
  rowsEstimate: number | string | null;
  options: string | null;
};

type ColumnRow = {
  name: string;
  type: string;
  fullType: string;
  nullable: string;
  maxChars: number | null;
  maxBytes: number | null;
  digits: number | null;
  scale: number | null;
  fractionDigits: number | null;
  charset: string | null;
  collation: string | null;
  padsSpace: number | null;
  columnDefault: string | null;
  extra: string;
};

async function readColumns(db: Queryable, { dialect, database, table }: TableAddress): Promise<ColumnSchema[]> {
  const { padsSpaceSql, jsonAliasesSql } = schemaDialects[dialect];
  const rows = await rowsOf<ColumnRow>(
    db,
    `SELECT c.COLUMN_NAME AS name, LOWER(c.DATA_TYPE) AS type, c.COLUMN_TYPE AS fullType, c.IS_NULLABLE AS nullable,
            c.CHARACTER_MAXIMUM_LENGTH AS maxChars, c.CHARACTER_OCTET_LENGTH AS maxBytes, c.NUMERIC_PRECISION AS digits,
            c.NUMERIC_SCALE AS scale, c.DATETIME_PRECISION AS fractionDigits, c.CHARACTER_SET_NAME AS charset,
            c.COLLATION_NAME AS collation, ${padsSpaceSql} AS padsSpace, c.COLUMN_DEFAULT AS columnDefault, c.EXTRA AS extra
     FROM information_schema.COLUMNS c LEFT JOIN information_schema.COLLATIONS l ON l.COLLATION_NAME = c.COLLATION_NAME
     WHERE c.TABLE_SCHEMA = ? AND c.TABLE_NAME = ? ORDER BY c.ORDINAL_POSITION`,
    [database, table],
  );
  const aliases = jsonAliasesSql === null ? [] : await rowsOf<{ name: string }>(db, jsonAliasesSql, [database, table]);
  const json = new Set(aliases.map(({ name }) => name));
  return rows.map((row) => columnOfRow(row, json.has(row.name)));
}

const columnOfRow = (row: ColumnRow, isJson: boolean): ColumnSchema => {
  const type = isJson ? 'json' : row.type;
  const number = (value: number | null) => (value === null ? null : Number(value));
  const generated = /(VIRTUAL|STORED|PERSISTENT) GENERATED|^(VIRTUAL|PERSISTENT)\b/i.exec(row.extra);
  const nullable = row.nullable === 'YES';
  const autoIncrement = /auto_increment/i.test(row.extra);
  return {
    name: row.name,
    type,
    fullType: row.fullType,
    unsigned: /\b(unsigned|zerofill)\b/.test(row.fullType),
    nullable,
    maxChars: number(row.maxChars),
    maxBytes: number(row.maxBytes),
    precision: number(row.digits),
    scale: number(row.scale),
    fractionDigits: ['time', 'datetime', 'timestamp'].includes(type) ? Number(row.fractionDigits ?? 0) : null,
    charset: row.charset,
    collation: row.collation,
    padsSpace: Number(row.padsSpace ?? 0) === 1,
    members: type === 'enum' || type === 'set' ? readMembers(row.fullType) : [],
    hasDefault: nullable || autoIncrement || row.columnDefault !== null || /DEFAULT_GENERATED/i.test(row.extra),
    autoIncrement,
    generated: generated === null ? null : /VIRTUAL/i.test(generated[0]) ? 'virtual' : 'stored',
  };
};

type KeyRow = { name: string; column: string | null; prefix: number | null; expression: string | null };

/** All unique keys, the primary key under its name PRIMARY. */
async function readKeys(db: Queryable, { dialect, database, table }: TableAddress): Promise<UniqueKey[]> {
  const rows = await rowsOf<KeyRow>(
    db,
    `SELECT s.INDEX_NAME AS name, s.COLUMN_NAME AS \`column\`, s.SUB_PART AS prefix,
            ${schemaDialects[dialect].indexExpressionSql} AS expression
     FROM information_schema.STATISTICS s
     WHERE s.TABLE_SCHEMA = ? AND s.TABLE_NAME = ? AND s.NON_UNIQUE = 0 ORDER BY s.INDEX_NAME, s.SEQ_IN_INDEX`,
    [database, table],
  );
  return [...groupBy(rows, (row) => row.name)].map(([name, parts]) => ({
    name,
    columns: parts.flatMap(({ column }) => (column === null ? [] : [column])),
    exact: parts.every(({ column, prefix, expression }) => column !== null && prefix === null && expression === null),
  }));
}

type ForeignKeyRow = {
  name: string;
  database: string;
  table: string;
  column: string;
  referencedDatabase: string;
  referencedTable: string;
  referencedColumn: string;
  onUpdate: string;
  onDelete: string;
};

async function readForeignKeys(db: Queryable, where: string, values: readonly string[]): Promise<ForeignKey[]> {
  const rows = await rowsOf<ForeignKeyRow>(
    db,
    `SELECT k.CONSTRAINT_NAME AS name, k.TABLE_SCHEMA AS \`database\`, k.TABLE_NAME AS \`table\`, k.COLUMN_NAME AS \`column\`,
            k.REFERENCED_TABLE_SCHEMA AS referencedDatabase, k.REFERENCED_TABLE_NAME AS referencedTable,
            k.REFERENCED_COLUMN_NAME AS referencedColumn, r.UPDATE_RULE AS onUpdate, r.DELETE_RULE AS onDelete
     FROM information_schema.KEY_COLUMN_USAGE k
     JOIN information_schema.REFERENTIAL_CONSTRAINTS r
       ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME
     WHERE k.REFERENCED_TABLE_NAME IS NOT NULL AND ${where}
     ORDER BY k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION`,
    values,
  );
  const groups = groupBy(rows, ({ database, table, name }) => JSON.stringify([database, table, name]));
  return [...groups.values()].map((parts) => {
    const { name, database, table, referencedDatabase, referencedTable, onUpdate, onDelete } = parts[0]!;
    return {
      name,
      database,
      table,
      columns: parts.map(({ column }) => column),
      referencedDatabase,
      referencedTable,
      referencedColumns: parts.map(({ referencedColumn }) => referencedColumn),
      onUpdate,
      onDelete,
    };
  });
}

async function readTriggers(db: Queryable, database: string, table: string): Promise<TriggerSchema[]> {
  return await rowsOf<TriggerSchema>(
    db,
    `SELECT TRIGGER_NAME AS name, ACTION_TIMING AS timing, EVENT_MANIPULATION AS event, ACTION_STATEMENT AS body,
            SQL_MODE AS sqlMode, DEFINER AS definer
     FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ?
     ORDER BY EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER`,
    [database, table],
  );
}

const groupBy = <T>(rows: readonly T[], keyOf: (row: T) => string): Map<string, T[]> => {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const group = groups.get(keyOf(row));
    if (group === undefined) groups.set(keyOf(row), [row]);
    else group.push(row);
  }
  return groups;
};
