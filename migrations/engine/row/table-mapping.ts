import type { RowImage } from '@strangler/platform/contracts/row-message.ts';

/**
 * How rows of one source table become rows of one target table, checked against the live schema of both. Names are
 * spelt as information_schema spells them.
 */
export type TableMapping = {
  slice: string;
  source: string;
  target: string;
  /** The source's primary key columns, in the order of the key. */
  key: readonly string[];
  /** The target columns that `key` goes to, in the same order. A row is the same row by these. */
  targetKey: readonly string[];
  /** Every target column that is written, in the target's order; the key's among them. Generated ones never are. */
  columns: readonly MappedColumn[];
  /** Source columns that a row image holds, in the source's order: all that `columns` and `transform` need. */
  captured: readonly string[];
  transform: RowTransform | null;
};

/** Where a target column's value comes from. */
export type MappedColumn =
  | { target: string; from: 'column'; column: string }
  /** An SQL expression over source columns, written bare (`price * 100`). Both engines can be asked to compute it. */
  | { target: string; from: 'sql'; sql: string; columns: readonly string[] }
  | { target: string; from: 'transform' };

/**
 * A module beside the slice file that does what an SQL expression cannot, exported as `transform`. Values are encoded
 * as in a row image. Both functions are pure; `toSource(toTarget(row))` must give back every source column that it
 * names, which is tried on samples before anything is captured.
 */
export type RowTransform = {
  /** What `toTarget` reads, and `toSource` gives back. */
  sourceColumns: readonly string[];
  /** What `toTarget` gives, and `toSource` reads. */
  targetColumns: readonly string[];
  toTarget(row: RowImage): RowImage;
  toSource(row: RowImage): RowImage;
};
