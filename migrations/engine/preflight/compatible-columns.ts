import { type ColumnKind, kindOf } from '../row/column-codec.ts';
import type { ColumnSchema } from '../schema/table-schema.ts';

/** Why a target column cannot take every value of a source column, and what to do; null where it can. */
export type Incompatibility = { reason: string; remedy: string } | null;

/** Whether every value of `source` goes into `target` as it is. Collations are not looked at: see `checkCollations`. */
export const incompatibility = (source: ColumnSchema, target: ColumnSchema): Incompatibility => {
  const from = kindOf(source);
  const to = kindOf(target);
  if (from === undefined || to === undefined) {
    const column = from === undefined ? source : target;
    return {
      reason: `values of ${column.fullType} do not survive the way`,
      remedy: 'leave the column out of the slice file, or move it by other means',
    };
  }
  if (source.nullable && !target.nullable) {
    return {
      reason: `${source.name} may be NULL and ${target.name} may not`,
      remedy: `make the target column nullable, or map it with { sql: "COALESCE(${source.name}, …)" }`,
    };
  }
  const reason = rules[from](source, target, to);
  if (reason === null) return null;
  return {
    reason: `${target.name} ${target.fullType} does not hold every ${source.fullType}: ${reason}`,
    remedy: `make the target column ${source.fullType} or wider, or map it with an SQL expression that says what is meant`,
  };
};

/** Returns what is lost, or null. */
type Rule = (source: ColumnSchema, target: ColumnSchema, to: ColumnKind) => string | null;

const otherType = 'its values are of another kind';

const integerBits: Readonly<Record<string, number>> = { tinyint: 8, smallint: 16, mediumint: 24, int: 32, bigint: 64 };

/** Smallest and largest value of an integer column. */
const range = ({ type, unsigned }: ColumnSchema): [bigint, bigint] => {
  const bits = BigInt(integerBits[type] ?? 64);
  return unsigned ? [0n, 2n ** bits - 1n] : [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n];
};

/** Digits that a column has before its point. */
const wholeDigits = ({ precision, scale }: ColumnSchema): number => (precision ?? 0) - (scale ?? 0);

const fitsText =
  (chars: number): Rule =>
  (_source, target) => {
    // Every text of a number, a date or an address is ASCII.
    return (target.maxChars ?? 0) >= chars ? null : `its text has up to ${chars} characters`;
  };

const integer: Rule = (source, target, to) => {
  const [least, most] = range(source);
  if (to === 'integer') {
    const [lower, upper] = range(target);
    return lower <= least && most <= upper
      ? null
      : `it goes from ${lower} to ${upper}, the source from ${least} to ${most}`;
  }
  const digits = `${most}`.length;
  if (to === 'decimal') {
    if (target.unsigned && !source.unsigned) return 'it takes no negative numbers';
    return wholeDigits(target) >= digits
      ? null
      : `it has ${wholeDigits(target)} digits before the point, ${digits} are needed`;
  }
  if (to === 'text') return fitsText(Math.max(`${least}`.length, digits))(source, target, to);
  if (to === 'double') return most < 2n ** 53n ? null : 'a DOUBLE has 53 bits';
  return otherType;
};

const decimal: Rule = (source, target, to) => {
  if (to === 'text') return fitsText((source.precision ?? 0) + 3)(source, target, to);
  if (to !== 'decimal') return otherType;
  if (target.unsigned && !source.unsigned) return 'it takes no negative numbers';
  if ((target.scale ?? 0) < (source.scale ?? 0)) return `it would round to ${target.scale} digits after the point`;
  return wholeDigits(target) >= wholeDigits(source) ? null : `it has ${wholeDigits(target)} digits before the point`;
};

const floatingPoint: Rule = (source, target, to) => {
  const wider = to === 'double' || (to === 'float' && source.type === 'float');
  if (!wider) return to === 'float' ? 'a FLOAT has 24 bits' : otherType;
  if (target.unsigned && !source.unsigned) return 'it takes no negative numbers';
  if (target.scale === null) return null;
  const same = target.scale === source.scale && (target.precision ?? 0) >= (source.precision ?? 0);
  return same ? null : `it would round to ${target.scale} digits after the point`;
};

const fractions: Rule = (source, target) => {
  const [from, to] = [source.fractionDigits ?? 0, target.fractionDigits ?? 0];
  return to >= from ? null : `it would round to ${to} digits of a second, the source has ${from}`;
};

const time: Rule = (source, target, to) => (to === 'time' ? fractions(source, target, to) : otherType);
const date: Rule = (_source, _target, to) => (to === 'date' || to === 'datetime' ? null : otherType);
const datetime: Rule = (source, target, to) => {
  if (to === 'timestamp') return 'a TIMESTAMP begins in 1970, and knows the time zone that a DATETIME does not';
  return to === 'datetime' ? fractions(source, target, to) : otherType;
};
// As DATETIME it is the instant's time in UTC.
const timestamp: Rule = (source, target, to) =>
  to === 'timestamp' || to === 'datetime' ? fractions(source, target, to) : otherType;

const year: Rule = (source, target, to) => {
  if (to === 'year') return null;
  return to === 'integer' && range(target)[1] >= 2155n
    ? null
    : to === 'text'
      ? fitsText(4)(source, target, to)
      : otherType;
};

const bit: Rule = (source, target, to) => {
  const bits = source.precision ?? 1;
  if (to === 'bit') return (target.precision ?? 1) >= bits ? null : `it has ${target.precision} bits`;
  if (to === 'integer') return range(target)[1] >= 2n ** BigInt(bits) - 1n ? null : `it goes to ${range(target)[1]}`;
  return otherType;
};

/** Character sets of which every text is one of the set named first. */
const contains: Readonly<Record<string, readonly string[]>> = {
  utf8mb4: [
    'utf8mb4',
    'utf8mb3',
    'utf8',
    'ucs2',
    'utf16',
    'utf16le',
    'utf32',
    'latin1',
    'ascii',
    'latin2',
    'cp1250',
    'cp1251',
    'koi8r',
  ],
  utf16: ['utf16', 'utf16le', 'utf8mb4', 'utf8mb3', 'utf8', 'ucs2', 'utf32', 'latin1', 'ascii'],
  utf32: ['utf32', 'utf8mb4', 'utf8mb3', 'utf8', 'ucs2', 'utf16', 'utf16le', 'latin1', 'ascii'],
  utf8mb3: ['utf8mb3', 'utf8', 'ucs2', 'latin1', 'ascii'],
  utf8: ['utf8mb3', 'utf8', 'ucs2', 'latin1', 'ascii'],
  ucs2: ['ucs2', 'utf8mb3', 'utf8', 'latin1', 'ascii'],
  latin1: ['latin1', 'ascii'],
  ascii: ['ascii'],
};

/** Legacy sets of several bytes a character: some of their texts change on the way to Unicode and back. */
const unsafeCharsets = new Set(['big5', 'cp932', 'eucjpms', 'euckr', 'gb18030', 'gb2312', 'gbk', 'sjis', 'ujis']);

const charsets = (source: ColumnSchema, target: ColumnSchema): string | null => {
  const [from, to] = [source.charset ?? 'utf8mb4', target.charset ?? 'utf8mb4'];
  if (unsafeCharsets.has(from)) return `some texts in ${from} change on the way to Unicode and back`;
  if (from === to || contains[to]?.includes(from)) return null;
  return `the character set ${to} does not have all that ${from} has`;
};

/** How many characters a text column takes for certain, whatever they are. */
const certainChars = (column: ColumnSchema): number =>
  // VARCHAR counts characters; TEXT counts bytes, of which one character takes up to four.
  column.type === 'char' || column.type === 'varchar'
    ? (column.maxChars ?? 0)
    : Math.floor((column.maxBytes ?? 0) / (bytesPerChar[column.charset ?? ''] ?? 4));

/** How many characters a text column may hold. */
const possibleChars = (column: ColumnSchema): number =>
  column.type === 'char' || column.type === 'varchar' ? (column.maxChars ?? 0) : (column.maxBytes ?? 0);

const bytesPerChar: Readonly<Record<string, number>> = { latin1: 1, ascii: 1, ucs2: 2, utf8mb3: 3, utf8: 3 };

const text: Rule = (source, target, to) => {
  if (to === 'json') return 'not every text is a JSON document';
  if (to !== 'text') return otherType;
  const lost = charsets(source, target);
  if (lost !== null) return lost;
  if (target.type === 'char' && source.type !== 'char') return 'CHAR drops the spaces at the end of a text';
  if (
    source.charset === target.charset &&
    (target.maxBytes ?? 0) >= (source.maxBytes ?? 0) &&
    (target.maxChars ?? 0) >= (source.maxChars ?? 0)
  ) {
    return null;
  }
  const [room, needed] = [certainChars(target), possibleChars(source)];
  return room >= needed ? null : `it takes ${room} characters for certain, the source up to ${needed}`;
};

const binary: Rule = (source, target, to) => {
  if (to !== 'binary') return otherType;
  const [room, needed] = [target.maxBytes ?? 0, source.maxBytes ?? 0];
  if (target.type === 'binary' && (source.type !== 'binary' || room !== needed))
    return 'BINARY fills values up with zero bytes';
  return room >= needed ? null : `it takes ${room} bytes, the source up to ${needed}`;
};

const members =
  (list: boolean): Rule =>
  (source, target, to) => {
    if (to === 'text') {
      const lengths = source.members.map((member) => [...member].length);
      const longest = list ? lengths.reduce((sum, length) => sum + length + 1, 0) : Math.max(0, ...lengths);
      return (
        charsets(source, target) ?? (certainChars(target) >= longest ? null : `a value has up to ${longest} characters`)
      );
    }
    if (to !== (list ? 'set' : 'enum')) return otherType;
    const missing = source.members.filter((member) => !target.members.includes(member));
    return missing.length === 0 ? null : `it lacks ${missing.map((member) => `'${member}'`).join(', ')}`;
  };

const json: Rule = (_source, target, to) => {
  if (to === 'json') return null;
  return to === 'text' && target.charset === 'utf8mb4' && (target.maxBytes ?? 0) >= 2 ** 32 - 1 ? null : otherType;
};

const address: Rule = (source, target, to) =>
  to === 'address' && source.type === target.type ? null : to === 'text' ? fitsText(45)(source, target, to) : otherType;

const rules: Readonly<Record<ColumnKind, Rule>> = {
  integer,
  decimal,
  float: floatingPoint,
  double: floatingPoint,
  date,
  time,
  datetime,
  timestamp,
  year,
  bit,
  text,
  binary,
  enum: members(false),
  set: members(true),
  json,
  address,
};
