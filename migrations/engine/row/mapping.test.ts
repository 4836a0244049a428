import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import type { ColumnSchema, TableSchema } from '../schema/table-schema.ts';
import { checkTransform } from './check-transform.ts';
import { codecOf } from './column-codec.ts';
import { expressionColumns } from './expression-columns.ts';
import { loadTransform, TransformError } from './load-transform.ts';
import { resolveMapping } from './resolve-mapping.ts';
import type { RowTransform } from './table-mapping.ts';

const column = (name: string, more: Partial<ColumnSchema> = {}): ColumnSchema => ({
  name,
  type: 'int',
  fullType: 'int',
  unsigned: false,
  nullable: true,
  maxChars: null,
  maxBytes: null,
  precision: 10,
  scale: 0,
  fractionDigits: null,
  charset: null,
  collation: null,
  padsSpace: false,
  members: [],
  hasDefault: true,
  autoIncrement: false,
  generated: null,
  ...more,
});

const table = (name: string, columns: (string | ColumnSchema)[], more: Partial<TableSchema> = {}): TableSchema => ({
  database: 'd',
  name,
  tableType: 'BASE TABLE',
  partitioned: false,
  storageEngine: 'InnoDB',
  columns: columns.map((one) => (typeof one === 'string' ? column(one, { nullable: one !== 'id' }) : one)),
  primaryKey: ['id'],
  uniqueKeys: [],
  foreignKeys: [],
  referencedBy: [],
  triggers: [],
  rowsEstimate: 0,
  ...more,
});

const asked = (more: Partial<SliceTable> = {}): SliceTable => ({
  source: 's',
  target: 't',
  key: null,
  columns: null,
  transform: null,
  reference: false,
  until: null,
  ...more,
});
const resolve = (
  source: TableSchema,
  target: TableSchema,
  more: Partial<SliceTable> = {},
  transform: RowTransform | null = null,
) =>
  resolveMapping({
    slice: 'x',
    table: asked({ ...more, transform: transform && './t.ts' }),
    source,
    target,
    transform,
  });
const reasons = (result: ReturnType<typeof resolve>) =>
  result.outcome === 'faulty' ? result.findings.map(({ rule, reason }) => `${rule}: ${reason}`) : [];

describe('a mapping', () => {
  test('without columns takes the columns that both tables have, and leaves generated ones to the target', () => {
    const result = resolve(
      table('s', ['id', 'A', 'b', 'made']),
      table('t', ['id', 'a', column('made', { generated: 'stored' }), 'own']),
    );
    expect(result).toMatchObject({
      outcome: 'resolved',
      mapping: {
        columns: [
          { target: 'id', from: 'column', column: 'id' },
          { target: 'a', from: 'column', column: 'A' },
        ],
        captured: ['id', 'A'],
        targetKey: ['id'],
      },
    });
  });

  test('captures the key, and what expressions and the transform read', () => {
    const transform: RowTransform = {
      sourceColumns: ['d'],
      targetColumns: ['z'],
      toTarget: (row) => row,
      toSource: (row) => row,
    };
    const columns = { key_: 'id', x: { sql: 'b + C' } };
    const result = resolve(
      table('s', ['id', 'a', 'b', 'c', 'd']),
      table(
        't',
        ['key_', 'x', 'z'].map((name) => column(name, { nullable: name !== 'key_' })),
        { primaryKey: ['key_'] },
      ),
      { columns },
      transform,
    );
    expect(result).toMatchObject({
      outcome: 'resolved',
      mapping: { captured: ['id', 'b', 'c', 'd'], targetKey: ['key_'] },
    });
  });

  test('is refused with every fault at once', () => {
    const target = table('t', [
      'id',
      'x',
      column('must', { hasDefault: false, nullable: false }),
      column('made', { generated: 'virtual' }),
    ]);
    const columns = { x: 'nothing', y: 'a', made: 'a' };
    expect(reasons(resolve(table('s', ['id', 'a']), target, { columns, key: ['a'] }))).toEqual([
      'column-missing: expected a column nothing in s, found id, a',
      'column-missing: expected a column y in t, found id, x, must, made',
      'column-generated: t.made is generated: the target computes it, and nobody can write it',
      "key-mismatch: expected the source's primary key (id), found (a)",
      'key-mismatch: the key column id goes to no target column as it is, so no row could be found again',
      'column-unmapped: t.must is NOT NULL, has no default, and nothing is mapped to it',
    ]);
  });

  test('needs a unique key of the target to find rows by, in whatever order its columns stand', () => {
    const source = table('s', ['id', column('at', { nullable: false })], { primaryKey: ['id', 'at'] });
    const target = (more: Partial<TableSchema>) =>
      table('t', ['own', column('id', { nullable: false }), column('at', { nullable: false })], more);
    expect(reasons(resolve(source, target({ primaryKey: ['own'] })))).toEqual([
      'key-mismatch: t has no primary or unique key of exactly (id, at)',
    ]);
    const unique = { primaryKey: ['own'], uniqueKeys: [{ name: 'u', columns: ['at', 'id'], exact: true }] };
    expect(reasons(resolve(source, target(unique)))).toEqual([]);
    expect(
      reasons(
        resolve(
          source,
          target({ primaryKey: ['own'], uniqueKeys: [{ name: 'u', columns: ['at', 'id'], exact: false }] }),
        ),
      ),
    ).toHaveLength(1);
  });
});

test('the columns of an expression are found outside of its strings and comments, in any case and quoted', () => {
  const source = table('s', ['id', 'price', 'na`me', 'größe', 'note', 'b']);
  const sql = `IF(PRICE > 1, 'note ''b''', "b\\"") /* id */ + \`na\`\`me\` + größe -- note\n # id`;
  expect(expressionColumns(sql, source)).toEqual(['price', 'na`me', 'größe']);
});

describe('a transform', () => {
  const codec = () => codecOf(column('j', { type: 'json' }), 'mysql');
  const transform = (toSource: RowTransform['toSource']): RowTransform => ({
    sourceColumns: ['j'],
    targetColumns: ['k'],
    toTarget: ({ j }) => ({ k: j ?? null }),
    toSource,
  });

  test('that gives back an equal value in another spelling is its own inverse', () => {
    expect(
      checkTransform(
        transform(({ k }) => ({ j: k?.replace(' ', '') ?? null })),
        [{ j: '{"a": 1}' }, { j: null }],
        codec,
      ),
    ).toEqual([]);
  });

  test('that loses a value, throws, or leaves a column out is told with the sample', () => {
    const lossy = checkTransform(
      transform(() => ({ j: '1' })),
      [{ j: '1' }, { j: '2' }, { j: '3' }],
      codec,
    );
    expect(lossy).toEqual([{ column: 'j', expected: '2', found: '"1"', sample: { j: '2' } }]);
    const throwing = transform(() => {
      throw new RangeError('no');
    });
    expect(checkTransform(throwing, [{ j: '1' }], codec)[0]).toMatchObject({ column: '', found: 'RangeError: no' });
    expect(
      checkTransform(
        transform(() => ({})),
        [{ j: '1' }],
        codec,
      )[0],
    ).toMatchObject({ found: 'nothing' });
  });

  test('is loaded from the slice folder only, and says what it lacks', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'transform-'));
    try {
      await writeFile(
        join(folder, 'a.mjs'),
        'export const transform = { sourceColumns: [], targetColumns: ["a"], toTarget: 1 };',
      );
      await expect(loadTransform(folder, './a.mjs')).rejects.toThrow(
        /transform\.sourceColumns.*transform\.toTarget: must be a function/,
      );
      await expect(loadTransform(folder, './../a.mjs')).rejects.toThrow(TransformError);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('two texts tell the same value', () => {
  test.each([
    ['json', '{"b":1,"a":[1.0,null]}', '{"a": [1.0, null], "b": 1}', true],
    ['json', '9007199254740993', '9007199254740992', false],
    ['json', '123456789012345678901234567890', '1.2345678901234568e29', true],
    ['json', '{"a":"1"}', '{"a":1}', false],
    ['double', '-0', '0', true],
    ['double', '0.1', '0.10000000000000002', false],
    ['int', '1', '1', true],
    ['varchar', 'a', 'a ', false],
  ])('%s: %s and %s: %s', (type, one, other, same) => {
    expect(
      codecOf(column('c', { type, charset: type === 'varchar' ? 'utf8mb4' : null }), 'mysql').sameValue(one, other),
    ).toBe(same);
  });

  test('NULL is no value', () => {
    const codec = codecOf(column('c', { type: 'varchar', charset: 'utf8mb4' }), 'mysql');
    expect([codec.sameValue(null, null), codec.sameValue(null, ''), codec.sameValue('', null)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
