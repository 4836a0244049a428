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
  /** The collation compares `a` and `a ` as equal. */
  padsSpace: boolean;
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
  database: string;
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
  /** `BASE TABLE`, `VIEW`, `SYSTEM VERSIONED`, … */
  tableType: string;
  partitioned: boolean;
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
