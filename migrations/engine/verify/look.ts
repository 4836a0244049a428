import { initialVersion, type RowImage, type RowVersion } from '@strangler/platform/contracts/row-message.ts';
import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import type { Pool, PoolConnection } from 'mysql2/promise';
import { rowId } from '../apply/choose-changes.ts';
import { parkedVersions } from '../apply/parked.ts';
import { type MappedTable, sourceCodec, targetCodec } from '../apply/row-shape.ts';
import { keyValueSql, slotName, textTable } from '../apply/row-statements.ts';
import { readVersions } from '../apply/versions.ts';
import type { KeyPlace } from '../backfill/key-range.ts';
import { keyTextSql } from '../row/key-text.ts';
import { quoteName } from '../schema/identifiers.ts';
import { rowsOf } from '../schema/queryable.ts';
import { columnOf } from '../schema/table-schema.ts';
import { sourceTexts, targetTexts, transformedTexts } from './digest.ts';
import type { SourceLook, TargetLook } from './judge.ts';

/** A key of the source, and the text that names its row. */
export type SourceRow = SourceLook & { key: KeyPlace; keyText: string };

/** Looks at rows by their keys, at most some hundreds at once; takes no locks. */
export type Looks = {
  /** Rows and their newest versions, in one snapshot, in the order of the keys. */
  source(keys: readonly KeyPlace[]): Promise<SourceRow[]>;
  /** Rows and their versions, in one snapshot, in the order of the keys. */
  target(rows: readonly Pick<SourceRow, 'key' | 'keyText'>[]): Promise<TargetLook[]>;
  /** Whether the mapped columns of two rows have the same values. */
  same(source: readonly (string | null)[], target: readonly (string | null)[]): boolean;
  /** The names of the mapped columns that have not. */
  differing(source: readonly (string | null)[], target: readonly (string | null)[]): string[];
};

export function createLooks(table: MappedTable, source: Pool, target: Pool): Looks {
  const { mapping } = table;
  const ask = { source: sourceSql(table), target: targetSql(table) };
  const codecs = mapping.columns.map((column) => targetCodec(table, column.target, 'target'));
  const sameAt = (index: number, one: string | null, other: string | null): boolean =>
    (codecs[index] as (typeof codecs)[number]).sameValue(one, other);

  const differing = (one: readonly (string | null)[], other: readonly (string | null)[]): string[] =>
    mapping.columns
      .filter((_, index) => !sameAt(index, one[index] ?? null, other[index] ?? null))
      .map((column) => column.target);

  return {
    differing,
    same: (one, other) => differing(one, other).length === 0,

    async source(keys) {
      const { rows, newest } = await inSnapshot(source, async (connection) => {
        const found = await texts(connection, ask.source, keys);
        return {
          rows: found,
          newest: await newestVersions(
            connection,
            mapping.source,
            found.map((row) => row[1] as string),
          ),
        };
      });
      const wanted = mapping.columns.length;
      const looks = rows.map((row): SourceRow => {
        const [at, keyText, there] = row as [string, string, string];
        const image: RowImage = Object.fromEntries(
          mapping.captured.map((name, index) => [name, row[3 + wanted + index] ?? null]),
        );
        return {
          key: keys[Number(at)] as KeyPlace,
          keyText,
          texts: there === '1' ? transformedTexts(table, row.slice(3, 3 + wanted), image) : null,
          newest: newest.get(keyText) ?? null,
        };
      });
      await normalise(table, target, looks);
      return looks;
    },

    async target(rows) {
      return await inSnapshot(target, async (connection) => {
        const found = await texts(
          connection,
          ask.target,
          rows.map(({ key }) => key),
        );
        const keyTexts = rows.map(({ keyText }) => keyText);
        const names = keyTexts.map((keyText) => ({ table: mapping.target, keyText }));
        const versions = await readVersions(connection, names, 'none');
        const parked = await parkedVersions(connection, mapping.target, keyTexts);
        return rows.map(({ keyText }, index): TargetLook => {
          const [, there, ...columns] = found[index] as string[];
          const stored = versions.get(rowId(mapping.target, keyText));
          return {
            texts: there === '1' ? columns : null,
            version: stored === undefined ? initialVersion : { epoch: stored.epoch, id: stored.id },
            parked: parked.get(keyText) ?? null,
          };
        });
      });
    },
  };
}

/** Rows of texts: position of the key, key text, whether there is a row, the mapped columns, the captured columns. */
const sourceSql = (table: MappedTable): string => {
  const { mapping, source, sourceDialect } = table;
  const keys = mapping.key.map((name, index) => {
    const column = columnOf(source, name);
    return `${keyValueSql(column, sourceDialect, slotName(index))} AS ${quoteName(name)}`;
  });
  const position = slotName(mapping.key.length);
  const on = mapping.key.map((name) => `s.${quoteName(name)} = d.${quoteName(name)}`).join(' AND ');
  const read = [
    `d.${position}`,
    keyTextSql(source, sourceDialect, 'd.'),
    `IF(s.${quoteName(mapping.key[0] as string)} IS NULL, '0', '1')`,
    ...sourceTexts(table).map((text) => text ?? 'NULL'),
    ...mapping.captured.map((name) => sourceCodec(table, name, 'source').encodeSql(`s.${quoteName(name)}`)),
  ];
  const typed = `(SELECT ${[position, ...keys].join(', ')} FROM ${textTable(mapping.key.length + 1)} AS texts) AS d`;
  return `SELECT ${named(read)} FROM ${typed} LEFT JOIN ${quoteName(source.name)} AS s ON ${on}`;
};

/** Rows of texts: position of the key, whether there is a row, the mapped columns. */
const targetSql = (table: MappedTable): string => {
  const { mapping, target, targetDialect } = table;
  const position = slotName(mapping.key.length);
  const on = mapping.targetKey.map((name, index) => {
    const value = keyValueSql(columnOf(target, name), targetDialect, `d.${slotName(index)}`);
    return `t.${quoteName(name)} = ${value}`;
  });
  const read = [
    `d.${position}`,
    `IF(t.${quoteName(mapping.targetKey[0] as string)} IS NULL, '0', '1')`,
    ...targetTexts(table),
  ];
  const rows = `${textTable(mapping.key.length + 1)} AS d`;
  return `SELECT ${named(read)} FROM ${rows} LEFT JOIN ${quoteName(target.name)} AS t ON ${on.join(' AND ')}`;
};

const named = (read: readonly string[]): string => read.map((sql, index) => `${sql} AS c${index}`).join(', ');

/** Runs a statement over keys and gives its rows in the order of the keys. */
async function texts(connection: PoolConnection, sql: string, keys: readonly KeyPlace[]): Promise<(string | null)[][]> {
  const numbered = keys.map((key, index) => [...key, String(index)]);
  const [found] = await connection.query({ sql, values: [JSON.stringify(numbered)], rowsAsArray: true });
  const rows = found as unknown as (string | null)[][];
  return [...rows].sort((one, other) => Number(one[0]) - Number(other[0]));
}

/** The newest version of each key in the outbox; keys that it does not hold are not in the map. */
async function newestVersions(
  connection: PoolConnection,
  subject: string,
  keyTexts: readonly string[],
): Promise<Map<string, RowVersion>> {
  if (keyTexts.length === 0) return new Map();
  // Both grow only, so the newest row of a key has the highest of each.
  const rows = await rowsOf<{ key_text: string; epoch: number; id: string }>(
    connection,
    `SELECT CONVERT(subject_key USING utf8mb4) AS key_text, MAX(epoch) AS epoch, CAST(MAX(o.id) AS CHAR) AS id
     FROM ${outboxTable} AS o WHERE subject = ? AND subject_key IN (?) AND kind = 'row' GROUP BY subject_key`,
    [subject, keyTexts],
  );
  return new Map(rows.map(({ key_text, epoch, id }) => [key_text, { epoch, id }]));
}

/** Runs reads that all see one state. */
async function inSnapshot<T>(pool: Pool, work: (connection: PoolConnection) => Promise<T>): Promise<T> {
  const connection = await pool.getConnection();
  try {
    await connection.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await connection.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
    const result = await work(connection);
    await connection.query('COMMIT');
    connection.release();
    return result;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

/** What a transform made of a row may be spelt otherwise than the target's column gives it back (`1`, `1.00`). */
async function normalise(table: MappedTable, target: Pool, looks: readonly SourceRow[]): Promise<void> {
  const columns = table.mapping.columns;
  const made = columns.flatMap((column, index) => (column.from === 'transform' ? [{ column, index }] : []));
  const rows = looks.filter(({ texts }) => texts !== null);
  if (made.length === 0 || rows.length === 0) return;
  const read = made.map(({ column }, slot) => {
    const codec = targetCodec(table, column.target, 'target');
    const text = `d.${slotName(slot)}`;
    const cast = codec.kind !== 'text' && codec.kind !== 'binary' && codec.kind !== 'json';
    return `IF(${text} IS NULL, NULL, ${cast ? codec.encodeSql(codec.valueSql(text)) : text})`;
  });
  const position = slotName(made.length);
  const [found] = await target.query({
    sql: `SELECT d.${position} AS at, ${named(read)} FROM ${textTable(made.length + 1)} AS d`,
    values: [
      JSON.stringify(rows.map(({ texts }, at) => [...made.map(({ index }) => texts?.[index] ?? null), String(at)])),
    ],
    rowsAsArray: true,
  });
  for (const [at, ...texts] of found as unknown as [string, ...(string | null)[]][]) {
    const row = rows[Number(at)] as SourceRow;
    const normal = [...(row.texts ?? [])];
    made.forEach(({ index }, slot) => {
      normal[index] = texts[slot] ?? null;
    });
    row.texts = normal;
  }
}
