import type { Dialect } from '@strangler/platform/mysql/pool.ts';
import type { ColumnSchema } from '../schema/table-schema.ts';

/**
 * How the values of one column travel as text, exactly: whatever the session's time zone, character set or SQL mode
 * is. `null` is NULL in both directions.
 */
export type ColumnCodec = {
  kind: ColumnKind;
  /** SQL that gives the text (utf8mb4) of the column's value; `column` is the quoted column, such as `NEW.price` quoted. */
  encodeSql(column: string): string;
  /** SQL that gives the JSON of that text: a JSON string, or `null`. NULL only where a value is too long for the server. */
  jsonSql(column: string): string;
  /** SQL that gives a value to assign to the column, from text; `text` is a placeholder or a text expression. */
  decodeSql(text: string): string;
  /** SQL that gives a value of the column's type, from text, to compute with. */
  valueSql(text: string): string;
  /** SQL that gives the text by which a key column's value is told apart: equal where the column's collation says equal. */
  keyTextSql(column: string): string;
  /** SQL that is 1 where two values of the column are not the same, byte for byte. */
  differsSql(one: string, other: string): string;
  /** Whether two texts tell the same value: another engine may spell a JSON document or a zero in another way. */
  sameValue(one: string | null, other: string | null): boolean;
};

/** Types that travel alike. */
export type ColumnKind =
  | 'integer'
  | 'decimal'
  | 'float'
  | 'double'
  | 'date'
  | 'time'
  | 'datetime'
  | 'timestamp'
  | 'year'
  | 'bit'
  | 'text'
  | 'binary'
  | 'enum'
  | 'set'
  | 'json'
  | 'address';

const kinds: Readonly<Record<string, ColumnKind>> = {
  tinyint: 'integer',
  smallint: 'integer',
  mediumint: 'integer',
  int: 'integer',
  bigint: 'integer',
  decimal: 'decimal',
  float: 'float',
  double: 'double',
  date: 'date',
  time: 'time',
  datetime: 'datetime',
  timestamp: 'timestamp',
  year: 'year',
  bit: 'bit',
  char: 'text',
  varchar: 'text',
  tinytext: 'text',
  text: 'text',
  mediumtext: 'text',
  longtext: 'text',
  binary: 'binary',
  varbinary: 'binary',
  tinyblob: 'binary',
  blob: 'binary',
  mediumblob: 'binary',
  longblob: 'binary',
  enum: 'enum',
  set: 'set',
  json: 'json',
  // MariaDB's: their text is exact.
  uuid: 'address',
  inet4: 'address',
  inet6: 'address',
};

/** How a column's values travel, or undefined where its type does not survive the way. */
export const kindOf = (column: ColumnSchema): ColumnKind | undefined => kinds[column.type];

const text = 'CHARACTER SET utf8mb4';
const asText = (expression: string): string => `CAST(${expression} AS CHAR ${text})`;
const asIs = (expression: string): string => expression;
const asBytes = (expression: string): string => `CAST(${expression} AS BINARY)`;

/** What a kind does otherwise than the most of them. */
type Ways = {
  encode(column: string): string;
  decode(text: string): string;
  value(text: string): string;
  /** The text may hold anything: it must be quoted to be JSON and escaped to be a key. */
  free: boolean;
  /** The text may be as long as the server takes. */
  long: boolean;
  keyText(column: string): string;
  differs(one: string, other: string): string;
  same(one: string, other: string): boolean;
};

/**
 * The codec of a column; `dialect` is that of the server which is to run the SQL.
 * @throws Error where the column's type does not survive (`kindOf` is undefined).
 */
export const codecOf = (column: ColumnSchema, dialect: Dialect): ColumnCodec => {
  const kind = kindOf(column);
  if (kind === undefined) {
    throw new Error(`${column.name}: expected a type whose values survive as text, found ${column.fullType}`);
  }
  const own = waysOf(kind, column, dialect);
  const encode = own.encode ?? asText;
  const ways: Ways = {
    encode,
    decode: asIs,
    value: asIs,
    free: false,
    long: false,
    keyText: encode,
    differs: (one, other) => `NOT (${one} <=> ${other})`,
    same: (one, other) => one === other,
    ...own,
  };
  return {
    kind,
    encodeSql: ways.encode,
    jsonSql: (reference) => jsonSql(ways, column.nullable, reference),
    decodeSql: ways.decode,
    valueSql: ways.value,
    keyTextSql: (reference) => escapeKeyText(ways.free, ways.keyText(reference)),
    differsSql: ways.differs,
    sameValue: (one, other) => (one === null || other === null ? one === other : ways.same(one, other)),
  };
};

const waysOf = (kind: ColumnKind, column: ColumnSchema, dialect: Dialect): Partial<Ways> => {
  switch (kind) {
    case 'integer': {
      const type = column.unsigned ? 'UNSIGNED' : 'SIGNED';
      const value = (reference: string) => `CAST(${reference} AS ${type})`;
      // A column with ZEROFILL would give its leading zeros.
      return { value, ...(isZeroFilled(column) ? { encode: (reference) => asText(value(reference)) } : {}) };
    }
    case 'decimal': {
      const value = (reference: string) => `CAST(${reference} AS DECIMAL(${column.precision}, ${column.scale}))`;
      return { value, ...(isZeroFilled(column) ? { encode: (reference) => asText(value(reference)) } : {}) };
    }
    case 'float':
      return { ...floatingPoint, encode: encodeFloat };
    case 'double':
      return floatingPoint;
    case 'date':
      return { value: (value) => `CAST(${value} AS DATE)` };
    case 'time':
      return { value: (value) => `CAST(${value} AS TIME(${column.fractionDigits ?? 0}))` };
    case 'datetime':
      return { value: (value) => `CAST(${value} AS DATETIME(${column.fractionDigits ?? 0}))` };
    case 'timestamp':
      return timestamp(column);
    case 'year':
      return { value: (value) => `CAST(${value} AS UNSIGNED)` };
    case 'bit': {
      // Without the inner cast MySQL takes a placeholder there for a number, and 5E0 for five.
      const value = (hex: string) => `CAST(CONV(${asText(hex)}, 16, 10) AS UNSIGNED)`;
      return { encode: (reference) => asText(`HEX(${reference} + 0)`), decode: value, value };
    }
    case 'text':
      return characterText(column);
    case 'binary':
      return {
        encode: (reference) => asText(`HEX(${reference})`),
        decode: (hex) => `UNHEX(${hex})`,
        value: (hex) => `UNHEX(${hex})`,
        long: true,
      };
    case 'enum':
    case 'set':
      // By number: an invalid value is number 0 and reads as '', which may be a member, too.
      return { free: true, differs: (one, other) => `NOT (${one} + 0 <=> ${other} + 0)` };
    case 'json':
      return {
        ...(dialect === 'mysql' ? { value: (value: string) => `CAST(${value} AS JSON)` } : { encode: inUtf8 }),
        free: true,
        differs: (one, other) => `NOT (${asBytes(asText(one))} <=> ${asBytes(asText(other))})`,
        same: (one, other) => one === other || canonicalJson(one) === canonicalJson(other),
      };
    case 'address':
      return {};
  }
};

const inUtf8 = (reference: string): string => `CONVERT(${reference} USING utf8mb4)`;

const isZeroFilled = ({ fullType }: ColumnSchema): boolean => fullType.includes('zerofill');

/**
 * A FLOAT casts to text with six digits only. Widened to DOUBLE it gives all of them, but MySQL cuts the text of a
 * computed DOUBLE after 22 characters: the sign must stand outside of it.
 */
const encodeFloat = (reference: string): string =>
  `IF(${reference} = 0, ${asText(reference)}, CONCAT(IF(${reference} < 0, '-', ''), ${asText(`ABS(${reference}) * 1e0`)}))`;

const floatingPoint: Partial<Ways> = {
  value: (value) => `CAST(${value} AS DOUBLE)`,
  keyText: (reference) => `IF(${reference} = 0, '0', ${encodeFloat(reference)})`,
  // 0 equals -0, and is another value.
  differs: (one, other) => `NOT (${one} <=> ${other} AND ${asText(one)} <=> ${asText(other)})`,
  // MariaDB keeps no -0.
  same: (one, other) => one === other || Number(one) === Number(other),
};

/**
 * UNIX_TIMESTAMP of a TIMESTAMP column is the instant as stored: no detour over the session's time zone, in which an
 * hour comes twice every autumn. Nought stands for the zero date; no instant that can be stored is nought.
 */
const timestamp = (column: ColumnSchema): Partial<Ways> => {
  const digits = column.fractionDigits ?? 0;
  // In MariaDB's triggers the zero date gives NULL.
  const stored = (reference: string) => `COALESCE(UNIX_TIMESTAMP(${reference}), 0)`;
  const cut = (value: string) => `CAST(${value} AS DATETIME(${digits}))`;
  const instant = (reference: string) =>
    cut(`DATE_ADD(TIMESTAMP'1970-01-01 00:00:00.000000', INTERVAL UNIX_TIMESTAMP(${reference}) SECOND)`);
  const zero = `'0000-00-00 00:00:00${digits === 0 ? '' : `.${'0'.repeat(digits)}`}'`;
  return {
    encode: (reference) =>
      `IF(${reference} IS NULL, NULL, IF(${stored(reference)} = 0, ${zero}, ${asText(instant(reference))}))`,
    value: cut,
    differs: (one, other) => `NOT (${stored(one)} <=> ${stored(other)} AND (${one} IS NULL) = (${other} IS NULL))`,
  };
};

const characterText = (column: ColumnSchema): Partial<Ways> => ({
  encode: column.charset === 'utf8mb4' ? asIs : inUtf8,
  free: true,
  long: true,
  keyText: (reference) => collatedKeyText(column, reference),
  differs: (one, other) => `NOT (${asBytes(one)} <=> ${asBytes(other)})`,
});

/**
 * Equal for values that are equal under the column's collation, such as `abc` and `ABC`: two spellings of one key are
 * one row. Where the collation compares characters as they are the text is readable, else it is the hex digits of
 * what the server compares.
 */
const collatedKeyText = (column: ColumnSchema, reference: string): string => {
  const { collation, padsSpace } = column;
  const inText = column.charset === 'utf8mb4' ? reference : inUtf8(reference);
  if (collation === null || collation.endsWith('_bin')) {
    return padsSpace ? `TRIM(TRAILING ' ' FROM ${inText})` : inText;
  }
  const weights = `WEIGHT_STRING(${reference})`;
  const space = `WEIGHT_STRING(CONVERT(' ' USING ${column.charset}) COLLATE ${collation})`;
  return asText(`HEX(${padsSpace ? `TRIM(TRAILING ${space} FROM ${weights})` : weights})`);
};

const jsonSql = (ways: Ways, nullable: boolean, reference: string): string => {
  const encoded = ways.encode(reference);
  const quoted = ways.free ? `JSON_QUOTE(${encoded})` : `CONCAT('"', ${encoded}, '"')`;
  if (!nullable) return quoted;
  // A text that is too long becomes NULL as well, and must not pass for one.
  return ways.long || ways.free ? `IF(${reference} IS NULL, 'null', ${quoted})` : `IFNULL(${quoted}, 'null')`;
};

const escapeKeyText = (free: boolean, expression: string): string =>
  free && !expression.includes('HEX(') ? `REPLACE(REPLACE(${expression}, '~', '~0'), '/', '~1')` : expression;

/** A JSON document's text with its keys in order, nothing between its tokens, and each number in one spelling. */
const canonicalJson = (document: string): string => {
  try {
    return JSON.stringify(sorted(JSON.parse(document, spellNumber as Parameters<typeof JSON.parse>[1])));
  } catch {
    return document;
  }
};

/** An integer of 64 bits keeps its digits, as both engines keep them; any other number is a double. */
const spellNumber = (_key: string, value: unknown, { source }: { source?: string } = {}): unknown => {
  if (typeof value !== 'number' || source === undefined) return value;
  const digits = /^-?\d{1,20}$/.test(source) ? BigInt(source) : undefined;
  return { number: digits !== undefined && digits >= -(2n ** 63n) && digits < 2n ** 64n ? `${digits}` : `${value}` };
};

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0));
  return entries.map(([key, inner]) => [key, sorted(inner)]);
};
