import type { TableSchema } from '../schema/table-schema.ts';

/**
 * The columns of a table that an SQL expression names, in the table's order. A word that is a column's name counts
 * wherever it stands outside of strings and comments, so that a column may be found too many but none is missed.
 */
export const expressionColumns = (sql: string, table: TableSchema): string[] => {
  const words = new Set(wordsOf(sql).map((word) => word.toLowerCase()));
  return table.columns.filter(({ name }) => words.has(name.toLowerCase())).map(({ name }) => name);
};

const token =
  /'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*"|`((?:[^`]|``)+)`|--\s[^\n]*|#[^\n]*|\/\*.*?\*\/|([\p{L}\p{N}_$]+)|./gsu;

const wordsOf = (sql: string): string[] =>
  [...sql.matchAll(token)].flatMap(([, quoted, bare]) => {
    if (quoted !== undefined) return [quoted.replaceAll('``', '`')];
    return bare === undefined ? [] : [bare];
  });
