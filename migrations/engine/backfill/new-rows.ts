import { escape as escapeText } from 'mysql2';
import { type MappedTable, shapeOf, slotIndex, targetCodec } from '../apply/row-shape.ts';
import { quoteName } from '../schema/identifiers.ts';

/**
 * An INSERT of rows of which none should be there, each given as the JSON array of its texts in the order of the shape:
 * half as much work for the server as one that looks for them first.
 */
export type NewRowsSql = (rows: readonly string[]) => string;

/** Null where an expression of the mapping has to be computed from the texts. */
export const newRowsSql = (table: MappedTable): NewRowsSql | null => {
  const { mapping } = table;
  const shape = shapeOf(mapping);
  const written: { column: string; slot: number; decode: (literal: string) => string }[] = [];
  for (const column of mapping.columns) {
    if (column.from === 'sql') return null;
    const slot = slotIndex(
      shape,
      column.from === 'column'
        ? { from: 'image', column: column.column }
        : { from: 'transform', column: column.target },
    );
    written.push({
      column: quoteName(column.target),
      slot,
      decode: targetCodec(table, column.target, 'target').decodeSql,
    });
  }
  written.sort((one, other) => one.slot - other.slot);
  const insert = `INSERT INTO ${quoteName(mapping.target)} (${written.map(({ column }) => column).join(', ')}) VALUES `;
  // Every text is a value as it stands, and every slot one column: then the array itself lists the values.
  const asItIs =
    written.length === shape.slots.length &&
    written.every(({ slot, decode }, index) => slot === index && decode('?') === '?');

  const tupleOf = (row: string): string => {
    if (asItIs && isSqlList(row)) return `(${row.slice(1, -1)})`;
    const texts = JSON.parse(row) as (string | null)[];
    const values = written.map(({ slot, decode }) => {
      const text = texts[slot];
      return text === null || text === undefined ? 'NULL' : decode(escapeText(text));
    });
    return `(${values.join(',')})`;
  };
  return (rows) => insert + rows.map(tupleOf).join(',');
};

/**
 * Whether a JSON array of strings and nulls, without its brackets, is a list of SQL literals that tell the same: SQL knows
 * text in double quotes (but under ANSI_QUOTES) and all of JSON's escapes but three.
 */
export const isSqlList = (json: string): boolean => !/\\[uf/]/.test(json);
