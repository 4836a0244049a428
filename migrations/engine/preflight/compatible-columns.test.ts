import { describe, expect, test } from '@jest/globals';
import type { ColumnSchema } from '../schema/table-schema.ts';
import { incompatibility } from './compatible-columns.ts';

/** A column from its type as SQL writes it: `decimal(10,2) unsigned`, `varchar(20) latin1`. */
const column = (sql: string, more: Partial<ColumnSchema> = {}): ColumnSchema => {
  const [, type = '', list = '', rest = ''] = /^(\w+)(?:\(([^)]*)\))?(.*)$/.exec(sql)!;
  const [first, second] = list.split(',').map(Number);
  const textual = /char|text|enum|set/.test(type);
  const charset = textual ? (/latin1|ascii|utf8mb3|gbk/.exec(rest)?.[0] ?? 'utf8mb4') : null;
  const width = { latin1: 1, ascii: 1, utf8mb3: 3, gbk: 2, utf8mb4: 4 }[charset ?? 'latin1'] ?? 1;
  const textBytes = { tinytext: 255, text: 65535, longtext: 2 ** 32 - 1, blob: 65535, tinyblob: 255 }[type];
  return {
    name: 'c',
    type,
    fullType: sql,
    unsigned: rest.includes('unsigned'),
    nullable: false,
    maxChars: textual ? (textBytes ?? first ?? null) : null,
    maxBytes: textBytes ?? (textual ? first! * width : type.includes('binary') ? first! : null),
    precision: type === 'decimal' || type === 'bit' || list.includes(',') ? (first ?? null) : null,
    scale: type === 'decimal' ? (second ?? 0) : (second ?? null),
    fractionDigits: /time/.test(type) ? first || 0 : null,
    charset,
    collation: charset === null ? null : `${charset}_general_ci`,
    padsSpace: true,
    members: /enum|set/.test(type) ? list.replaceAll("'", '').split(',') : [],
    hasDefault: false,
    autoIncrement: false,
    generated: null,
    ...more,
  };
};

describe('a column that is as wide or wider takes every value', () => {
  test.each([
    ['int', 'int'],
    ['int unsigned', 'bigint'],
    ['bigint unsigned', 'decimal(20,0)'],
    ['int', 'double'],
    ['int', 'varchar(11)'],
    ['decimal(10,2)', 'decimal(12,4)'],
    ['float', 'double'],
    ['date', 'datetime(0)'],
    ['timestamp(3)', 'datetime(6)'],
    ['year', 'smallint'],
    ['bit(8)', 'tinyint unsigned'],
    ['char(10)', 'varchar(10)'],
    ['varchar(10) latin1', 'varchar(10)'],
    ['text', 'longtext'],
    ['text latin1', 'longtext'],
    ['varbinary(10)', 'blob'],
    ["enum('a','b')", "enum('b','c','a')"],
    ["enum('a','bcd')", 'varchar(3)'],
    ['json', 'longtext'],
  ])('%s goes into %s', (from, to) => {
    expect(incompatibility(column(from), column(to))).toBeNull();
  });
});

describe('a column that loses something is refused, saying what', () => {
  test.each([
    ['bigint', 'int', 'goes from'],
    ['int', 'int unsigned', 'goes from 0'],
    ['bigint unsigned', 'decimal(19,0)', 'digits before the point'],
    ['bigint', 'double', '53 bits'],
    ['decimal(10,2)', 'decimal(10,3)', 'digits before the point'],
    ['decimal(10,3)', 'decimal(20,2)', 'round'],
    ['double', 'float', '24 bits'],
    ['decimal(10,2)', 'double', 'another kind'],
    ['datetime(6)', 'datetime(3)', 'round'],
    ['datetime(0)', 'timestamp(0)', 'time zone'],
    ['datetime(0)', 'date', 'another kind'],
    ['varchar(20)', 'varchar(10)', 'characters'],
    ['varchar(10)', 'varchar(10) latin1', 'character set'],
    ['varchar(10)', 'char(10)', 'spaces'],
    ['varchar(10) gbk', 'varchar(10)', 'Unicode and back'],
    ['text', 'tinytext', 'characters'],
    ['varbinary(10)', 'binary(10)', 'zero bytes'],
    ['binary(10)', 'binary(12)', 'zero bytes'],
    ['blob', 'tinyblob', 'bytes'],
    ['blob', 'text', 'another kind'],
    ["enum('a','b')", "enum('a')", "'b'"],
    ["set('a','b')", 'varchar(2)', 'characters'],
    ['bit(9)', 'bit(8)', '8 bits'],
    ['text', 'json', 'JSON'],
    ['point', 'point', 'survive'],
  ])('%s does not go into %s: %s', (from, to, why) => {
    expect(incompatibility(column(from), column(to))?.reason).toContain(why);
  });

  test('NULL does not go into NOT NULL', () => {
    expect(incompatibility(column('int', { nullable: true }), column('int'))?.reason).toContain('may be NULL');
    expect(incompatibility(column('int'), column('int', { nullable: true }))).toBeNull();
  });
});
