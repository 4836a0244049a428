import type { RowImage } from '@strangler/platform/contracts/row-message.ts';
import type { Dialect } from '@strangler/platform/mysql/pool.ts';
import type { Pool } from 'mysql2/promise';
import { type MappedTable, sourceCodec, targetCodec } from '../apply/row-shape.ts';
import { keyValueSql, slotName, textTable } from '../apply/row-statements.ts';
import { type KeyPlace, type KeyRange, keyOrder } from '../backfill/key-range.ts';
import { keyTextSql } from '../row/key-text.ts';
import { quoteName } from '../schema/identifiers.ts';
import { type ColumnSchema, columnOf } from '../schema/table-schema.ts';
import {
  digestOf,
  digestSql,
  rowText,
  rowTextSql,
  sourceTexts,
  sumOf,
  targetTexts,
  textForms,
  transformedTexts,
} from './digest.ts';

export type ChunkSum = { rows: number; sum: string };

export type ListedRow = { keyText: string; key: KeyPlace; digest: string };

/** One of the two tables, as far as comparing needs it. None of it locks anything. */
export type Side = {
  /** Count and checksum of the rows in a range, computed by the server unless a transform is in the way. */
  sum(range: KeyRange): Promise<ChunkSum>;
  /** The rows in a range, in order, at most `limit`. */
  list(range: KeyRange, limit: number): Promise<ListedRow[]>;
  /** The row of each key, in the order of the keys; null where there is none. */
  listKeys(keys: readonly KeyPlace[]): Promise<(ListedRow | null)[]>;
  /** The key of the `position`-th row (from 1) of a range; null where it has fewer. */
  keyAt(range: KeyRange, position: number): Promise<KeyPlace | null>;
};

/** What tells one side's SQL from the other's. */
type SideSql = {
  db: Pool;
  dialect: Dialect;
  table: string;
  /** Under which the columns are read. */
  alias: 's' | 't';
  key: readonly ColumnSchema[];
  keyTexts: readonly string[];
  keyText: string;
  /** SQL of a row's digest; null where this process has to compute it. */
  digest: string | null;
  /** What this process needs for that: SQL of texts, and what it makes of them. */
  texts: readonly string[];
  textOf(texts: readonly (string | null)[]): string;
};

export const createSourceSide = (table: MappedTable, db: Pool): Side => {
  const { mapping, source, sourceDialect } = table;
  const wanted = sourceTexts(table);
  const direct = wanted.every((text) => text !== null);
  const captured = mapping.captured;
  const forms = textForms(table);
  return createSide({
    db,
    dialect: sourceDialect,
    table: source.name,
    alias: 's',
    key: mapping.key.map((name) => columnOf(source, name)),
    keyTexts: mapping.key.map((name) => sourceCodec(table, name, 'source').encodeSql(`s.${quoteName(name)}`)),
    keyText: keyTextSql(source, sourceDialect, 's.'),
    digest: direct ? digestSql(rowTextSql(wanted, forms)) : null,
    texts: [
      ...wanted.map((text) => text ?? 'NULL'),
      ...captured.map((name) => sourceCodec(table, name, 'source').encodeSql(`s.${quoteName(name)}`)),
    ],
    textOf(texts) {
      const image: RowImage = Object.fromEntries(
        captured.map((name, index) => [name, texts[wanted.length + index] ?? null]),
      );
      return rowText(transformedTexts(table, texts, image), forms);
    },
  });
};

export const createTargetSide = (table: MappedTable, db: Pool): Side => {
  const { mapping, target, targetDialect } = table;
  return createSide({
    db,
    dialect: targetDialect,
    table: target.name,
    alias: 't',
    key: mapping.targetKey.map((name) => columnOf(target, name)),
    keyTexts: mapping.targetKey.map((name) => targetCodec(table, name, 'target').encodeSql(`t.${quoteName(name)}`)),
    keyText: keyTextSql(keyAsInTarget(table), targetDialect, 't.'),
    digest: digestSql(rowTextSql(targetTexts(table), textForms(table))),
    texts: [],
    textOf: () => '',
  });
};

/** The source's key under the target's names: the target tells keys apart as the source does. */
const keyAsInTarget = ({ mapping, source }: MappedTable): MappedTable['source'] => ({
  ...source,
  primaryKey: mapping.targetKey,
  columns: mapping.key.map((name, index) => ({
    ...columnOf(source, name),
    name: mapping.targetKey[index] as string,
  })),
});

function createSide(side: SideSql): Side {
  const { db, alias, key } = side;
  const order = keyOrder(key, side.dialect);
  const from = `${quoteName(side.table)} AS ${alias}`;
  const listed = [
    side.keyText,
    ...side.keyTexts,
    ...(side.digest === null ? side.texts : [`CAST(${side.digest} AS CHAR)`]),
  ]
    .map((sql, index) => `${sql} AS c${index}`)
    .join(', ');
  const firstText = 1 + key.length;

  const rows = async (sql: string, values: readonly unknown[]): Promise<(string | null)[][]> => {
    const [found] = await db.query({ sql, values: [...values], rowsAsArray: true });
    return found as unknown as (string | null)[][];
  };
  const listedRow = (row: readonly (string | null)[]): ListedRow => ({
    keyText: row[0] as string,
    key: row.slice(1, firstText) as string[],
    digest: side.digest === null ? digestOf(side.textOf(row.slice(firstText))) : (row[firstText] as string),
  });
  const list = async (range: KeyRange, limit: number): Promise<ListedRow[]> => {
    const { sql, values } = order.within(range);
    const found = await rows(`SELECT ${listed} FROM ${from} WHERE ${sql} ORDER BY ${order.orderBy} LIMIT ?`, [
      ...values,
      limit,
    ]);
    return found.map(listedRow);
  };

  return {
    list,
    async sum(range) {
      if (side.digest === null) {
        const found = await list(range, Number.MAX_SAFE_INTEGER);
        return { rows: found.length, sum: sumOf(found.map(({ digest }) => digest)) };
      }
      const { sql, values } = order.within(range);
      const [found] = await rows(
        `SELECT COUNT(*), CAST(COALESCE(BIT_XOR(${side.digest}), 0) AS CHAR) FROM ${from} WHERE ${sql}`,
        values,
      );
      return { rows: Number(found?.[0]), sum: found?.[1] ?? '0' };
    },
    async listKeys(keys) {
      const listing: (ListedRow | null)[] = keys.map(() => null);
      if (keys.length === 0) return listing;
      const same = key.map((column, index) => {
        return `${alias}.${quoteName(column.name)} = ${keyValueSql(column, side.dialect, `d.${slotName(index)}`)}`;
      });
      const found = await rows(
        `SELECT d.${slotName(key.length)} AS at, ${listed} FROM ${textTable(key.length + 1)} AS d
         STRAIGHT_JOIN ${from} ON ${same.join(' AND ')}`,
        [JSON.stringify(keys.map((texts, at) => [...texts, String(at)]))],
      );
      for (const [at, ...row] of found) listing[Number(at)] = listedRow(row);
      return listing;
    },
    async keyAt(range, position) {
      const { sql, values } = order.within(range);
      const texts = side.keyTexts.map((text, index) => `${text} AS c${index}`);
      const [found] = await rows(
        `SELECT ${texts.join(', ')} FROM ${from} WHERE ${sql} ORDER BY ${order.orderBy} LIMIT 1 OFFSET ?`,
        [...values, position - 1],
      );
      return (found as string[] | undefined) ?? null;
    },
  };
}

/** Whether both tables keep their keys in the same order, so that a range of one is a range of the other. */
export const ordersAgree = ({ mapping, source, target }: MappedTable): boolean =>
  mapping.key.every((name, index) => {
    const one = columnOf(source, name);
    const other = columnOf(target, mapping.targetKey[index] as string);
    if (one.charset === null && other.charset === null) return true;
    return one.collation === other.collation && one.members.join('\0') === other.members.join('\0');
  });
