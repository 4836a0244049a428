import type { Dialect } from '@strangler/platform/mysql/pool.ts';
import { codecOf } from '../row/column-codec.ts';
import { quoteName } from '../schema/identifiers.ts';
import type { ColumnSchema } from '../schema/table-schema.ts';

/** A place in the order of a key: its columns' texts, as the codec encodes them. */
export type KeyPlace = readonly string[];

/** The rows after `after` (null: from the first) up to and with `upTo` (null: to the last), in the order of the key. */
export type KeyRange = { after: KeyPlace | null; upTo: KeyPlace | null };

/** Part of a statement, with the values of its placeholders. */
export type SqlPart = { sql: string; values: unknown[] };

/** The order of a key's columns as the server keeps them in its index, and conditions that the index can answer. */
export type KeyOrder = {
  /** For ORDER BY. */
  orderBy: string;
  orderByDescending: string;
  /** For WHERE; `TRUE` for a range without bounds. */
  within(range: KeyRange): SqlPart;
};

/** The order of `columns`, which are a table's primary key, on a server of `dialect`. */
export const keyOrder = (columns: readonly ColumnSchema[], dialect: Dialect): KeyOrder => {
  const names = columns.map(({ name }) => quoteName(name));
  const value = (index: number, text: string): SqlPart => boundOf(columns[index] as ColumnSchema, dialect, text);

  /** `(a, b) > (?, ?)` in the form that both engines' range optimisers know: `a > ? OR (a = ? AND b > ?)`. */
  const compared = (place: KeyPlace, less: boolean): SqlPart => {
    const values: unknown[] = [];
    const terms = names.map((name, last) => {
      const equal = names.slice(0, last).map((earlier, index) => {
        const bound = value(index, place[index] as string);
        values.push(...bound.values);
        return `${earlier} = ${bound.sql}`;
      });
      const bound = value(last, place[last] as string);
      values.push(...bound.values);
      const operator = less ? (last === names.length - 1 ? '<=' : '<') : '>';
      return `(${[...equal, `${name} ${operator} ${bound.sql}`].join(' AND ')})`;
    });
    return { sql: `(${terms.join(' OR ')})`, values };
  };

  return {
    orderBy: names.join(', '),
    orderByDescending: names.map((name) => `${name} DESC`).join(', '),
    within({ after, upTo }) {
      const parts = [
        ...(after === null ? [] : [compared(after, false)]),
        ...(upTo === null ? [] : [compared(upTo, true)]),
      ];
      if (parts.length === 0) return { sql: 'TRUE', values: [] };
      return { sql: parts.map(({ sql }) => sql).join(' AND '), values: parts.flatMap(({ values }) => values) };
    },
  };
};

/** A value to compare a key's column with: text in the column's own collation, all else in its own type. */
const boundOf = (column: ColumnSchema, dialect: Dialect, text: string): SqlPart => {
  // An index holds the numbers of these, and compares them as numbers only with a number.
  if (column.type === 'enum') return { sql: String(memberNumber(column, text)), values: [] };
  if (column.type === 'set') return { sql: String(setNumber(column, text)), values: [] };
  return { sql: codecOf(column, dialect).valueSql('?'), values: [text] };
};

/** 0 is the invalid value, which reads as ''. */
const memberNumber = ({ members }: ColumnSchema, text: string): number => members.indexOf(text) + 1;

const setNumber = ({ members }: ColumnSchema, text: string): bigint =>
  text === '' ? 0n : text.split(',').reduce((sum, member) => sum | (1n << BigInt(members.indexOf(member))), 0n);
