import { maxKeyTextBytes } from '@strangler/platform/contracts/row-message.ts';
import type { Dialect } from '@strangler/platform/mysql/pool.ts';
import { quoteName } from '../schema/identifiers.ts';
import { type ColumnSchema, columnOf, type TableSchema } from '../schema/table-schema.ts';
import { codecOf, kindOf } from './column-codec.ts';

/** Kinds whose text has at most 70 bytes: a key of three of them is never too long. */
const shortKinds = new Set(['integer', 'decimal', 'date', 'time', 'datetime', 'timestamp', 'year', 'bit', 'address']);

/**
 * SQL of a row's key text, which the source computes: equal for two spellings of a key that the source compares as
 * equal, and else the text that `joinKeyText` makes of the key columns' texts. `prefix` stands before each column:
 * `NEW.`, `t.`, or nothing.
 */
export const keyTextSql = (source: TableSchema, dialect: Dialect, prefix = ''): string => {
  const columns = source.primaryKey.map((name) => columnOf(source, name));
  const parts = columns.map((column) => codecOf(column, dialect).keyTextSql(prefix + quoteName(column.name)));
  const joined = parts.length === 1 ? parts[0]! : `CONCAT(${parts.join(", '/', ")})`;
  if (columns.length <= 3 && columns.every(isShort)) return joined;
  return `IF(LENGTH(${joined}) <= ${maxKeyTextBytes}, ${joined}, CONCAT('~2', SHA2(${joined}, 256)))`;
};

const isShort = (column: ColumnSchema): boolean => shortKinds.has(kindOf(column) ?? '');
