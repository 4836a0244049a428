import type { Pool } from 'mysql2/promise';
import { changeTable } from '../capture/change-table.ts';
import type { LockOptions } from '../capture/lock-table.ts';
import type { TableMapping } from '../row/table-mapping.ts';
import { quoteName, quoteTable } from '../schema/identifiers.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { findColumn, type TableSchema } from '../schema/table-schema.ts';

/** A table that allots keys, the AUTO_INCREMENT column that does it, and the database it is in. */
export type KeyAllotter = { pool: Pool; table: TableSchema; column: string };

export type AutoIncrementRaise = {
  /** Its database's name, the table's and the column's. */
  table: string;
  /** The key that either side would have allotted next. */
  ownNext: bigint;
  othersNext: bigint;
  /** The key that it allots next now. */
  next: bigint;
  done: 'raised' | 'enough';
};

/** The column cannot hold as many keys. */
export class KeysExhaustedError extends Error {
  override name = 'KeysExhaustedError';
}

/** Keys left out above the other side's: for what it allots between the look and the end of its writes. */
export const defaultMargin = 1000n;

/**
 * Makes `to` allot keys from `margin` above those of `from` on, so that neither side allots one of the other's: before
 * `to` takes its first write. Never lowers; run again it finds enough, or follows a `from` that has gone on. Writers of
 * `to` wait for a moment.
 * @throws TableBusyError, KeysExhaustedError
 */
export async function raiseAutoIncrement(
  to: KeyAllotter,
  from: KeyAllotter,
  margin: bigint = defaultMargin,
  lock: LockOptions = {},
): Promise<AutoIncrementRaise> {
  const othersNext = await readNextKey(from.pool, from);
  const wanted = othersNext + margin;
  const name = `${to.table.database}.${to.table.name}.${to.column}`;
  const highest = highestKey(to);
  const ownNext = await readNextKey(to.pool, to);
  if (ownNext >= wanted) return { table: name, ownNext, othersNext, next: ownNext, done: 'enough' };
  if (highest !== undefined && wanted > highest) {
    throw new KeysExhaustedError(
      `${name}: expected room for keys from ${wanted} on, found a column that ends at ${highest}; make it a wider type first`,
    );
  }
  // The engine never sets a counter at or below a key that is there: writers that go on meanwhile lose none.
  const raise = `ALTER TABLE ${quoteTable(to.table)} AUTO_INCREMENT = ${wanted}, ALGORITHM = INPLACE`;
  await changeTable(to.pool, to.table, { statements: [raise] }, lock);
  const next = await readNextKey(to.pool, to);
  return { table: name, ownNext, othersNext, next, done: 'raised' };
}

/** The columns of a mapped table that allot keys on both sides; null where it has none. */
export const allottingColumns = (
  mapping: Pick<TableMapping, 'key' | 'targetKey'>,
  source: TableSchema,
  target: TableSchema,
): { source: string; target: string } | null => {
  for (const [at, name] of mapping.key.entries()) {
    const targetName = mapping.targetKey[at];
    if (targetName === undefined || !findColumn(source, name)?.autoIncrement) continue;
    if (findColumn(target, targetName)?.autoIncrement) return { source: name, target: targetName };
  }
  return null;
};

/**
 * The key that a table allots next. information_schema's is up to a day old in MySQL (information_schema_stats_expiry);
 * SHOW CREATE TABLE asks the engine. The highest key is looked at too: an UPDATE of a key does not always raise the counter.
 */
export async function readNextKey(db: Queryable, { table, column }: Omit<KeyAllotter, 'pool'>): Promise<bigint> {
  const [made] = await rowsOf<Record<string, string>>(db, `SHOW CREATE TABLE ${quoteTable(table)}`);
  const counter = BigInt(tableOption(made?.['Create Table'] ?? ''));
  const [top] = await rowsOf<{ highest: string | null }>(
    db,
    `SELECT CAST(MAX(${quoteName(column)}) AS CHAR) AS highest FROM ${quoteTable(table)}`,
  );
  // FLOAT and DOUBLE may allot keys too, and tell them with an exponent.
  const afterHighest = /^-?\d+$/.test(top?.highest ?? '') ? BigInt(top!.highest!) + 1n : 0n;
  return [counter, afterHighest, 1n].reduce((most, one) => (one > most ? one : most));
}

/** The option stands after the last parenthesis; a comment of the table, which could hold the same words, after it. */
const tableOption = (createSql: string): string =>
  /\n\) ENGINE=\S+(?: AUTO_INCREMENT=(\d+))?/.exec(createSql)?.[1] ?? '1';

const bitsOf: Readonly<Record<string, bigint>> = { tinyint: 8n, smallint: 16n, mediumint: 24n, int: 32n, bigint: 64n };

const highestKey = ({ table, column }: KeyAllotter): bigint | undefined => {
  const found = findColumn(table, column);
  const bits = bitsOf[found?.type ?? ''];
  return bits === undefined ? undefined : (1n << (found?.unsigned ? bits : bits - 1n)) - 1n;
};
