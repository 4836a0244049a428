import { createHash } from 'node:crypto';
import type { RowImage } from '@strangler/platform/contracts/row-message.ts';
import { type MappedTable, sourceCodec, targetCodec } from '../apply/row-shape.ts';
import type { ColumnKind } from '../row/column-codec.ts';
import type { MappedColumn } from '../row/table-mapping.ts';
import { quoteName } from '../schema/identifiers.ts';
import { columnOf } from '../schema/table-schema.ts';

/**
 * How a column's text stands in that of its row, so that no two different rows have the same:
 * - `plain`: before a `;`, which is not in it, and for NULL `N`, which it never is. Numbers, times and hex digits.
 * - `counted`: `<bytes>:<text>`, or `N` for NULL, whatever stands in it. The server computes it twice.
 * - `last`: at the end of the row, `:<text>` or `N`. For one column, whose text is dear.
 */
export type TextForm = 'plain' | 'counted' | 'last';

const freeKinds = new Set<ColumnKind>(['text', 'enum', 'set', 'json']);

/** The same for both sides: the source's texts are made in the form of the target's. */
export const textForms = (table: MappedTable): TextForm[] => {
  const kinds = table.mapping.columns.map(({ target }) => targetCodec(table, target, 'target').kind);
  const last = kinds.indexOf('json');
  return kinds.map((kind, index) => (index === last ? 'last' : freeKinds.has(kind) ? 'counted' : 'plain'));
};

/** Texts are compared by their bytes, so collations have no part in it. */
export const rowText = (texts: readonly (string | null)[], forms: readonly TextForm[]): string =>
  inOrder(
    texts.map((text, index) => formed(text, forms[index] as TextForm)),
    forms,
  ).join('');

const formed = (text: string | null, form: TextForm): string => {
  if (form === 'last') return text === null ? 'N' : `:${text}`;
  if (form === 'counted') return text === null ? 'N' : counted(text);
  // A transform may make what no value of the column's type reads as: nothing that a server tells is equal to it.
  return text !== null && (text.includes(';') || text === 'N') ? `!${counted(text)}` : `${text ?? 'N'};`;
};

const counted = (text: string): string => `${Buffer.byteLength(text)}:${text}`;

const inOrder = <T>(parts: readonly T[], forms: readonly TextForm[]): T[] => [
  ...parts.filter((_, index) => forms[index] !== 'last'),
  ...parts.filter((_, index) => forms[index] === 'last'),
];

/** SQL of `rowText`, from SQL of the columns' texts. */
export const rowTextSql = (texts: readonly string[], forms: readonly TextForm[]): string => {
  const parts = texts.map((text, index) => {
    if (forms[index] === 'last') return `IFNULL(CONCAT(':', ${text}), 'N')`;
    if (forms[index] === 'counted') return `IFNULL(CONCAT(LENGTH(${text}), ':', ${text}), 'N')`;
    return `IFNULL(${text}, 'N'), ';'`;
  });
  return `CONCAT(${inOrder(parts, forms).join(', ')})`;
};

/**
 * A row's digest: 64 bits of its SHA-256, as a number. CRC32 would not do: XORed over rows it does not see two rows that
 * have exchanged a value, for it is linear. (MD5 and SHA1 are no longer in every MySQL.)
 */
export const digestSql = (text: string): string => `CAST(CONV(LEFT(SHA2(${text}, 256), 16), 16, 10) AS UNSIGNED)`;

/** The digest that the servers compute, in decimal. */
export const digestOf = (text: string): string =>
  BigInt(`0x${createHash('sha256').update(text).digest('hex').slice(0, 16)}`).toString();

/** The sum of rows' digests does not depend on their order. */
export const sumOf = (digests: readonly string[]): string =>
  digests.reduce((sum, digest) => sum ^ BigInt(digest), 0n).toString();

/** SQL of the texts of the target's mapped columns, in the mapping's order, read from `t`. */
export const targetTexts = (table: MappedTable): string[] =>
  table.mapping.columns.map(({ target }) => targetCodec(table, target, 'target').encodeSql(`t.${quoteName(target)}`));

/**
 * SQL, for the source to run, of the texts that the target should have, read from `s`: null for a column that a
 * transform makes.
 */
export const sourceTexts = (table: MappedTable): (string | null)[] =>
  table.mapping.columns.map((column) => sourceText(table, column));

const sourceText = (table: MappedTable, column: MappedColumn): string | null => {
  if (column.from === 'transform') return null;
  const wanted = columnOf(table.target, column.target);
  const codec = targetCodec(table, column.target, 'source');
  if (column.from === 'sql') {
    const value = `(${column.sql})`;
    // Of these the codec takes its own hex digits for a value.
    if (codec.kind === 'binary') return `CAST(HEX(${value}) AS CHAR CHARACTER SET utf8mb4)`;
    if (codec.kind === 'bit') return codec.encodeSql(`CAST(${value} AS UNSIGNED)`);
    if (codec.kind === 'text') return `CAST(${value} AS CHAR CHARACTER SET utf8mb4)`;
    return codec.encodeSql(codec.valueSql(value));
  }
  const own = sourceCodec(table, column.column, 'source');
  const text = own.encodeSql(`s.${quoteName(column.column)}`);
  const from = columnOf(table.source, column.column);
  const alike = own.kind === codec.kind && from.scale === wanted.scale && from.fractionDigits === wanted.fractionDigits;
  if (alike || codec.kind === 'text' || codec.kind === 'enum' || codec.kind === 'set') return text;
  return codec.encodeSql(codec.valueSql(text));
};

/** What the target should have of a source row: its texts, where a transform makes some of them. */
export const transformedTexts = (
  { mapping }: MappedTable,
  texts: readonly (string | null)[],
  image: RowImage,
): (string | null)[] => {
  const made = mapping.transform === null ? {} : mapping.transform.toTarget(image);
  return mapping.columns.map((column, index) =>
    column.from === 'transform' ? (made[column.target] ?? null) : (texts[index] ?? null),
  );
};
