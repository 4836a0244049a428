import type { Dialect } from '@strangler/platform/mysql/pool.ts';

/** A database server as the engine meets it: two may be of different makes, and each has its own way of saying things. */
export type ServerFacts = {
  dialect: Dialect;
  /** As the server tells it, such as `8.4.3` or `10.11.6-MariaDB`. */
  version: string;
  /** Names the server for good: `server_uuid`, or what stands for it in MariaDB. */
  uuid: string;
  /** `lower_case_table_names` is not 0: table names are compared without regard to case. */
  tableNamesIgnoreCase: boolean;
  maxAllowedPacketBytes: number;
  binaryLog: boolean;
  /** Without it and with a binary log, CREATE TRIGGER needs SUPER. */
  trustsFunctionCreators: boolean;
};

/** One column, as information_schema describes it. */
export type ColumnSchema = {
  name: string;
  /** The bare name of the type in lower case: `bigint`, `varchar`, `enum`; `json` on both engines. */
  type: string;
  /** The type with all that belongs to it, as SHOW COLUMNS has it: `bigint unsigned`, `enum('a','b')`. */
  fullType: string;
  unsigned: boolean;
  nullable: boolean;
  /** Longest value in characters, for text. */
  maxChars: number | null;
  /** Longest value in bytes, for text and binary. */
  maxBytes: number | null;
  /** Digits in all, of numbers; bits, of BIT. */
  precision: number | null;
  /** Digits after the point, of DECIMAL and of FLOAT(m,d); null for FLOAT and DOUBLE without. */
  scale: number | null;
  /** Digits of fractional seconds, of TIME, DATETIME and TIMESTAMP. */
  fractionDigits: number | null;
  charset: string | null;
  collation: string | null;
  /** Members of ENUM and SET, in order. */
  members: readonly string[];
  /** A row may be inserted without saying the column's value. */
  hasDefault: boolean;
  autoIncrement: boolean;
  generated: 'virtual' | 'stored' | null;
};

export type UniqueKey = {
  name: string;
  /** In order; an expression or a prefix has no column of its own and makes `exact` false. */
  columns: readonly string[];
  exact: boolean;
};

export type ForeignKey = {
  name: string;
  table: string;
  columns: readonly string[];
  referencedDatabase: string;
  referencedTable: string;
  referencedColumns: readonly string[];
  onUpdate: string;
  onDelete: string;
};

export type TriggerSchema = {
  name: string;
  timing: 'BEFORE' | 'AFTER';
  event: 'INSERT' | 'UPDATE' | 'DELETE';
  body: string;
  /** The sql_mode under which it was created, and always runs. */
  sqlMode: string;
  definer: string;
};

/** One table, as information_schema describes it. */
export type TableSchema = {
  database: string;
  name: string;
  /** `InnoDB`, … */
  storageEngine: string;
  columns: readonly ColumnSchema[];
  /** In the order of the key; empty where the table has none. */
  primaryKey: readonly string[];
  /** Unique keys other than the primary key. */
  uniqueKeys: readonly UniqueKey[];
  /** The table's own. */
  foreignKeys: readonly ForeignKey[];
  /** Other tables' (or its own) that point at it. */
  referencedBy: readonly ForeignKey[];
  triggers: readonly TriggerSchema[];
  /** What the engine guesses, never exact. */
  rowsEstimate: number;
};

/** @throws Error naming table and column when there is no such column. */
export const columnOf = (table: TableSchema, name: string): ColumnSchema => {
  const found = findColumn(table, name);
  if (found === undefined) {
    throw new Error(
      `${table.name}: expected a column ${name}, found ${table.columns.map((column) => column.name).join(', ')}`,
    );
  }
  return found;
};

/** Column names are compared without regard to case, as both engines do. */
export const findColumn = (table: TableSchema, name: string): ColumnSchema | undefined =>
  table.columns.find((column) => column.name.toLowerCase() === name.toLowerCase());
