import type { Dialect } from '@strangler/platform/mysql/pool.ts';
import { type ColumnCodec, codecOf } from '../row/column-codec.ts';
import { quoteName } from '../schema/identifiers.ts';
import { type ColumnSchema, columnOf } from '../schema/table-schema.ts';
import type { MappedTable, RowShape } from './row-shape.ts';
import { isText, shapeOf, slotIndex, sourceCodec, targetCodec, unmappedColumns } from './row-shape.ts';

/**
 * The statements that write rows of one table to the target, each for any number of rows: the rows come as one JSON
 * array of arrays of texts, which JSON_TABLE makes a table of, so that no statement grows with its rows.
 */
export type RowStatements = {
  shape: RowShape;
  /** Writes the mapped columns where the key is there. */
  update: string;
  /** Adds the rows whose key is not there; the array is needed once. */
  insert: string;
  /** Takes the rows away; of each row only the key's texts are read. */
  delete: string;
  /** Columns that the mapping leaves alone, kept over a removal and addition of the row; null where there are none. */
  unmapped: { read: string; restore: string } | null;
};

/** The columns of a `textTable`. */
export const slotName = (index: number): string => `strangler_s${index}`;
const computedName = (index: number): string => `strangler_x${index}`;

/** A JSON array of arrays of texts as a table with columns `strangler_s0`, …; `json` is a placeholder or expression. */
export const textTable = (columns: number, json = '?'): string => {
  const listed = Array.from(
    { length: columns },
    (_, index) => `${slotName(index)} LONGTEXT CHARACTER SET utf8mb4 PATH '$[${index}]'`,
  );
  return `JSON_TABLE(${json}, '$[*]' COLUMNS (${listed.join(', ')}))`;
};

/** The rows as a table `d`, with what SQL expressions of the mapping compute beside the texts. */
const rowsTable = (table: MappedTable, shape: RowShape): string => {
  const { mapping } = table;
  const texts = textTable(shape.slots.length);
  const computed = mapping.columns.flatMap((column, index) =>
    column.from === 'sql' ? [{ index, sql: column.sql, columns: column.columns }] : [],
  );
  if (computed.length === 0) return `${texts} AS d`;
  const names = shape.slots.map((_, index) => slotName(index));
  const needed = new Set(computed.flatMap(({ columns }) => columns));
  const typed = [...needed].map((column) => {
    const index = slotIndex(shape, { from: 'image', column });
    return `${valued(sourceCodec(table, column, 'target'), slotName(index))} AS ${quoteName(column)}`;
  });
  const expressions = computed.map(({ index, sql }) => `(${sql}) AS ${computedName(index)}`);
  return (
    `(SELECT ${[...names, ...expressions].join(', ')} FROM ` +
    `(SELECT ${[...names, ...typed].join(', ')} FROM ${texts} AS texts) AS source_row) AS d`
  );
};

/**
 * MariaDB takes UNHEX of a LONGTEXT column for a value of no length, once the statement needs a table for its result
 * (seen in 10.11). Of an expression it does not.
 */
const textFor = ({ kind }: ColumnCodec, text: string): string => (kind === 'binary' ? `CONCAT(${text})` : text);

const decoded = (codec: ColumnCodec, text: string): string => codec.decodeSql(textFor(codec, text));
const valued = (codec: ColumnCodec, text: string): string => codec.valueSql(textFor(codec, text));

/**
 * SQL of a key column's value from its text in a column of a `textTable`. Two columns of different collations do not
 * compare: the key's own is given to the value, and its index is used.
 */
export const keyValueSql = (column: ColumnSchema, dialect: Dialect, text: string): string => {
  const value = valued(codecOf(column, dialect), text);
  return column.charset === null ? value : `CONVERT(${value} USING ${column.charset}) COLLATE ${column.collation}`;
};

/** `t` is the row that `d` names by its key's texts. */
const sameKey = ({ mapping, target, targetDialect }: MappedTable): string =>
  mapping.targetKey
    .map((name, index) => {
      const value = keyValueSql(columnOf(target, name), targetDialect, `d.${slotName(index)}`);
      return `t.${quoteName(name)} = ${value}`;
    })
    .join(' AND ');

/** Makes the statements of one table; they hold no value of any row. */
export const rowStatements = (table: MappedTable): RowStatements => {
  const { mapping } = table;
  const shape = shapeOf(mapping);
  const rows = rowsTable(table, shape);
  const keys = `${textTable(shape.keySlots)} AS d`;
  const target = quoteName(mapping.target);
  const where = sameKey(table);
  const keyColumns = new Set(mapping.targetKey.map((column) => column.toLowerCase()));
  const values = mapping.columns.map((column, index) => {
    if (column.from === 'sql') return `d.${computedName(index)}`;
    const slot = slotIndex(
      shape,
      column.from === 'column'
        ? { from: 'image', column: column.column }
        : { from: 'transform', column: column.target },
    );
    return decoded(targetCodec(table, column.target, 'target'), `d.${slotName(slot)}`);
  });
  const columns = mapping.columns.map((column) => quoteName(column.target));
  // A key may come in another spelling that its collation takes for the same.
  const assigned = mapping.columns.flatMap((column, index) =>
    keyColumns.has(column.target.toLowerCase()) && !isText(table, column.target)
      ? []
      : [`t.${quoteName(column.target)} = ${values[index]}`],
  );
  // A table of nothing but its key: an update finds the row and changes nothing.
  if (assigned.length === 0) {
    const [key] = mapping.targetKey as [string];
    assigned.push(`t.${quoteName(key)} = t.${quoteName(key)}`);
  }
  return {
    shape,
    update: `UPDATE ${rows} STRAIGHT_JOIN ${target} AS t ON ${where} SET ${assigned.join(', ')}`,
    insert:
      `INSERT INTO ${target} (${columns.join(', ')}) SELECT ${values.join(', ')} FROM ${rows} ` +
      `LEFT JOIN ${target} AS t ON ${where} WHERE t.${quoteName(mapping.targetKey[0] as string)} IS NULL`,
    delete: `DELETE t FROM ${keys} STRAIGHT_JOIN ${target} AS t ON ${where}`,
    unmapped: unmappedStatements(table, shape, keys, where),
  };
};

const unmappedStatements = (
  table: MappedTable,
  shape: RowShape,
  keys: string,
  where: string,
): RowStatements['unmapped'] => {
  const columns = unmappedColumns(table);
  if (columns.length === 0) return null;
  const { mapping } = table;
  const target = quoteName(mapping.target);
  const read = [
    ...Array.from({ length: shape.keySlots }, (_, index) => `d.${slotName(index)}`),
    ...columns.map((column) => targetCodec(table, column, 'target').encodeSql(`t.${quoteName(column)}`)),
  ];
  const restored = columns.map(
    (column, index) =>
      `t.${quoteName(column)} = ${decoded(targetCodec(table, column, 'target'), `d.${slotName(shape.keySlots + index)}`)}`,
  );
  const rows = `${textTable(shape.keySlots + columns.length)} AS d`;
  return {
    read: `SELECT ${read.map((sql, index) => `${sql} AS c${index}`).join(', ')} FROM ${keys} STRAIGHT_JOIN ${target} AS t ON ${where}`,
    restore: `UPDATE ${rows} STRAIGHT_JOIN ${target} AS t ON ${where} SET ${restored.join(', ')}`,
  };
};
