import fc from 'fast-check';

/** A column type and values of it, as a client would send them; `assign` is SQL around the placeholder. */
export type TypedValues = {
  type: string;
  value: fc.Arbitrary<string | Buffer>;
  assign?: string;
  only?: 'mysql' | 'mariadb';
};

const integer = (min: bigint, max: bigint) =>
  fc.oneof(fc.bigInt({ min, max }), fc.constantFrom(min, max, 0n)).map((value) => `${value}`);

const decimal = (digits: number, scale: number) =>
  fc.tuple(fc.boolean(), fc.bigInt({ min: 0n, max: 10n ** BigInt(digits) - 1n })).map(([negative, value]) => {
    const text = `${value}`.padStart(scale + 1, '0');
    const point = text.length - scale;
    return `${negative ? '-' : ''}${text.slice(0, point)}${scale > 0 ? `.${text.slice(point)}` : ''}`;
  });

const numberText = (value: number): string => (Object.is(value, -0) ? '-0' : `${value}`);
const double = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(-0, 0, 5e-324, -5e-324, Number.MAX_VALUE, -Number.MAX_VALUE, 2.2250738585072014e-308, 0.1, 1e15),
);
const float = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(-0, 1.401298464324817e-45, -3.4028234663852886e38, 1.1754943508222875e-38, 16777217),
);

const two = (value: number, digits = 2): string => `${value}`.padStart(digits, '0');
const day = fc
  .tuple(fc.integer({ min: 1, max: 9999 }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 28 }))
  .map(([year, month, date]) => `${two(year, 4)}-${two(month)}-${two(date)}`);
const clock = fc
  .tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }), fc.integer({ min: 0, max: 59 }))
  .map((parts) => parts.map((part) => two(part)).join(':'));
const fraction = (digits: number) =>
  digits === 0
    ? fc.constant('')
    : fc.integer({ min: 0, max: 10 ** digits - 1 }).map((value) => `.${two(value, digits)}`);
const date = fc.oneof(day, fc.constantFrom('0000-00-00', '2024-00-00', '2024-05-00', '9999-12-31'));
const datetime = (digits: number) =>
  fc.oneof(
    fc.tuple(day, clock, fraction(digits)).map(([on, at, part]) => `${on} ${at}${part}`),
    fc.constantFrom('0000-00-00 00:00:00', '2024-00-10 00:00:00', '9999-12-31 23:59:59'),
  );
/** Within the range of TIMESTAMP in whatever zone; the hours around a change of the clocks among them. */
const timestamp = (digits: number) =>
  fc.oneof(
    fc
      .tuple(fc.integer({ min: 100_000, max: 2_147_400_000 }), fraction(digits))
      .map(([seconds, part]) => `${new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')}${part}`),
    fc.constantFrom('0000-00-00 00:00:00', '2024-10-27 02:30:00', '2024-11-03 01:30:00', '2024-11-03 05:30:00'),
  );
const time = (digits: number) =>
  fc.oneof(
    fc
      .tuple(fc.boolean(), fc.integer({ min: 0, max: 837 }), clock, fraction(digits))
      .map(([minus, hours, at, part]) => `${minus ? '-' : ''}${two(hours)}${at.slice(2)}${part}`),
    fc.constantFrom('-838:59:59', '838:59:59', '-00:00:01'),
  );

const tricky = fc.constantFrom(
  '',
  ' ',
  '  a  ',
  "it's",
  '"',
  '\\',
  '\\n',
  '\0',
  '\n\r\t\b\f\v\x1a\x7f',
  '😀',
  '👩‍👧',
  'İıß',
  '\u2028\ufeff',
  'null',
  '~/%_',
);
const text = (maxChars: number) =>
  fc
    .oneof(
      tricky,
      fc.string({ unit: 'binary', maxLength: maxChars / 2 }),
      fc.string({ unit: 'grapheme', maxLength: Math.ceil(maxChars / 8) }),
    )
    .map((value) => [...value].slice(0, maxChars).join(''));
/** What code page 1252 has. */
const latin1 = fc.string({ unit: fc.constantFrom(...'aA zZ é\u00a0ÿ€Š™ß\\\'"~/'), maxLength: 20 });
const bytes = (min: number, max: number) =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((value) => Buffer.from(value));

const json = fc.oneof(
  fc.json({ maxDepth: 3 }),
  fc.constantFrom(
    '{"b": 1, "a": 2, "aa": {"z": null, "y": [true, false]}}',
    '[18446744073709551615, -9223372036854775808, 123456789012345678901234567890, 1.0, 1e300, 0.1, -0.0]',
    '"\\u0000\\ud83d\\ude00\\"\\\\/é😀"',
    'null',
    '{"": "", "it\'s": "\\n"}',
  ),
);

/** Every type that a shop or a blog has. */
export const typedValues: readonly TypedValues[] = [
  { type: 'TINYINT', value: integer(-128n, 127n) },
  { type: 'TINYINT(1)', value: integer(0n, 1n) },
  { type: 'TINYINT UNSIGNED', value: integer(0n, 255n) },
  { type: 'SMALLINT', value: integer(-32768n, 32767n) },
  { type: 'SMALLINT UNSIGNED', value: integer(0n, 65535n) },
  { type: 'MEDIUMINT', value: integer(-8388608n, 8388607n) },
  { type: 'MEDIUMINT UNSIGNED', value: integer(0n, 16777215n) },
  { type: 'INT', value: integer(-2147483648n, 2147483647n) },
  { type: 'INT UNSIGNED', value: integer(0n, 4294967295n) },
  { type: 'INT(8) ZEROFILL', value: integer(0n, 4294967295n) },
  { type: 'BIGINT', value: integer(-(2n ** 63n), 2n ** 63n - 1n) },
  { type: 'BIGINT UNSIGNED', value: integer(0n, 2n ** 64n - 1n) },
  { type: 'DECIMAL(10,2)', value: decimal(10, 2) },
  { type: 'DECIMAL(65,30)', value: decimal(65, 30) },
  { type: 'DECIMAL(20,0) UNSIGNED', value: decimal(20, 0).map((value) => value.replace('-', '')) },
  { type: 'DECIMAL(8,3) ZEROFILL', value: decimal(8, 3).map((value) => value.replace('-', '')) },
  { type: 'FLOAT', value: float.map(numberText) },
  { type: 'FLOAT(7,3)', value: decimal(7, 3) },
  { type: 'DOUBLE', value: double.map(numberText) },
  { type: 'DOUBLE(15,4)', value: decimal(14, 4) },
  { type: 'DATE', value: date },
  ...[0, 1, 3, 6].flatMap((digits) => [
    { type: `DATETIME(${digits})`, value: datetime(digits) },
    { type: `TIMESTAMP(${digits}) NULL`, value: timestamp(digits) },
    { type: `TIME(${digits})`, value: time(digits) },
  ]),
  { type: 'YEAR', value: fc.oneof(fc.integer({ min: 1901, max: 2155 }), fc.constant('0000')).map(String) },
  { type: 'CHAR(20)', value: text(20) },
  { type: 'VARCHAR(40)', value: text(40) },
  { type: 'VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin', value: text(40) },
  { type: 'VARCHAR(40) CHARACTER SET latin1', value: latin1 },
  { type: 'TEXT CHARACTER SET latin1 COLLATE latin1_general_cs', value: latin1 },
  { type: 'VARCHAR(40) CHARACTER SET ascii', value: fc.string({ unit: 'binary-ascii', maxLength: 40 }) },
  { type: 'VARCHAR(40) CHARACTER SET ucs2', value: latin1 },
  { type: 'VARCHAR(40) CHARACTER SET utf16', value: text(40) },
  { type: 'VARCHAR(40) CHARACTER SET utf8mb3', value: latin1 },
  { type: 'TINYTEXT', value: text(40) },
  { type: 'TEXT', value: text(200) },
  { type: 'MEDIUMTEXT', value: text(200) },
  { type: 'LONGTEXT', value: text(200) },
  { type: 'BINARY(16)', value: bytes(0, 16) },
  { type: 'VARBINARY(40)', value: bytes(0, 40) },
  { type: 'TINYBLOB', value: bytes(0, 100) },
  { type: 'BLOB', value: bytes(0, 300) },
  { type: 'MEDIUMBLOB', value: bytes(0, 300) },
  { type: 'LONGBLOB', value: bytes(0, 300) },
  ...[1, 8, 33, 64].map((bits) => ({
    type: `BIT(${bits})`,
    // 0x5E0: hex digits that would pass for a number with an exponent.
    value:
      bits < 33
        ? integer(0n, 2n ** BigInt(bits) - 1n)
        : fc.oneof(integer(0n, 2n ** BigInt(bits) - 1n), fc.constant('1504')),
    assign: 'CAST(? AS UNSIGNED)',
  })),
  { type: `ENUM('a','B b','é','','it''s','x\\\\y')`, value: fc.constantFrom('a', 'B b', 'é', '', "it's", 'x\\y') },
  { type: `SET('a','B b','é','it''s')`, value: fc.subarray(['a', 'B b', 'é', "it's"]).map((some) => some.join(',')) },
  { type: 'JSON', value: json },
  { type: 'UUID', value: fc.uuid(), only: 'mariadb' },
  { type: 'INET6', value: fc.ipV6(), only: 'mariadb' },
];
