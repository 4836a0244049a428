/**
 * How the values of one column travel as text, exactly: whatever the session's time zone, character set or SQL mode
 * is. `null` is NULL in both directions.
 */
export type ColumnCodec = {
  /** SQL that gives the text (utf8mb4) of the column's value; `column` is the quoted column, such as `NEW.price` quoted. */
  encodeSql(column: string): string;
  /** SQL that gives a value to assign to the column, from text; `text` is a placeholder or a text expression. */
  decodeSql(text: string): string;
  /** SQL that gives a value of the column's type, from text, to compute with. */
  valueSql(text: string): string;
  /** SQL that gives the text by which a key column's value is told apart: equal where the column's collation says equal. */
  keyTextSql(column: string): string;
  /** SQL that is 1 where two values of the column are not the same, byte for byte. */
  differsSql(one: string, other: string): string;
};
