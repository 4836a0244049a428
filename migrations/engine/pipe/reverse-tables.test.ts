import { describe, expect, test } from '@jest/globals';
import type { Slice, SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import fc from 'fast-check';
import type { MappedTable } from '../apply/row-shape.ts';
import { resolveMapping } from '../row/resolve-mapping.ts';
import type { RowTransform } from '../row/table-mapping.ts';
import type { ColumnSchema, TableSchema } from '../schema/table-schema.ts';
import { canaryTable } from './canary.ts';
import { pipeNameOf, sliceOfPipe } from './direction.ts';
import { reverseSlice, reverseTables } from './reverse-tables.ts';

const column = (name: string, more: Partial<ColumnSchema> = {}): ColumnSchema => ({
  name,
  type: 'int',
  fullType: 'int',
  unsigned: false,
  nullable: false,
  maxChars: null,
  maxBytes: null,
  precision: 10,
  scale: 0,
  fractionDigits: null,
  charset: null,
  collation: null,
  padsSpace: false,
  members: [],
  hasDefault: false,
  autoIncrement: false,
  generated: null,
  ...more,
});

const live = (name: string, columns: (string | ColumnSchema)[], primaryKey: string[]): TableSchema => ({
  database: 'd',
  name,
  tableType: 'BASE TABLE',
  partitioned: false,
  storageEngine: 'InnoDB',
  columns: columns.map((one) => (typeof one === 'string' ? column(one) : one)),
  primaryKey,
  uniqueKeys: [],
  foreignKeys: [],
  referencedBy: [],
  triggers: [],
  rowsEstimate: 0,
});

type Asked = { columns: SliceTable['columns']; transform?: RowTransform };

function mapped(source: TableSchema, target: TableSchema, { columns, transform }: Asked): MappedTable {
  const result = resolveMapping({
    slice: 'shop',
    table: {
      source: source.name,
      target: target.name,
      key: null,
      columns,
      transform: transform ? './t.ts' : null,
      reference: false,
      until: null,
    },
    source,
    target,
    transform: transform ?? null,
  });
  if (result.outcome !== 'resolved') throw new Error(result.findings.map(({ reason }) => reason).join('\n'));
  return { mapping: result.mapping, source, sourceDialect: 'mysql', target, targetDialect: 'mariadb' };
}

const reversed = (source: TableSchema, target: TableSchema, asked: Asked) => {
  const { tables, findings } = reverseTables('shop', [mapped(source, target, asked)]);
  return { table: tables[0] as MappedTable, findings: findings.map(({ level, reason }) => `${level}: ${reason}`) };
};

describe('a table turned round', () => {
  test('swaps its ends, its columns and the order of its key, under the name of the way back', () => {
    const source = live('parts', ['shop', 'code', 'name'], ['shop', 'code']);
    const target = live('items', ['sku', 'branch', 'title'], ['sku', 'branch']);
    const { table, findings } = reversed(source, target, { columns: { sku: 'code', branch: 'shop', title: 'name' } });
    expect(findings).toEqual([]);
    expect(table).toMatchObject({ source: target, target: source, sourceDialect: 'mariadb', targetDialect: 'mysql' });
    expect(table.mapping).toEqual({
      slice: 'shop-reverse',
      source: 'items',
      target: 'parts',
      key: ['sku', 'branch'],
      targetKey: ['code', 'shop'],
      columns: [
        { target: 'shop', from: 'column', column: 'branch' },
        { target: 'code', from: 'column', column: 'sku' },
        { target: 'name', from: 'column', column: 'title' },
      ],
      captured: ['sku', 'branch', 'title'],
      transform: null,
    });
  });

  test('takes what the transform made through its inverse, and what it read besides as it is', () => {
    const transform: RowTransform = {
      sourceColumns: ['id', 'maker', 'model'],
      targetColumns: ['label'],
      toTarget: ({ maker, model }) => ({ label: `${maker}/${model}` }),
      toSource: ({ label }) => ({ id: '?', maker: label!.split('/')[0]!, model: label!.split('/')[1]! }),
    };
    const source = live('parts', ['id', 'maker', 'model'], ['id']);
    const target = live('items', ['id', 'label'], ['id']);
    const { table, findings } = reversed(source, target, { columns: { id: 'id' }, transform });
    expect(findings).toEqual([]);
    expect(table.mapping.columns).toEqual([
      { target: 'id', from: 'column', column: 'id' },
      { target: 'maker', from: 'transform' },
      { target: 'model', from: 'transform' },
    ]);
    expect(table.mapping.captured).toEqual(['id', 'label']);
    expect(table.mapping.transform?.toTarget({ label: 'a/b' })).toMatchObject({ maker: 'a', model: 'b' });
  });

  test('leaves out what an expression computes, and refuses a column that nothing gives a value', () => {
    const sql = { cents: { sql: 'price * 100' } };
    const target = live('items', ['id', 'cents'], ['id']);
    const needed = reversed(live('parts', ['id', 'price'], ['id']), target, { columns: { id: 'id', ...sql } });
    expect(needed.table.mapping.columns.map((one) => one.target)).toEqual(['id']);
    expect(needed.findings).toEqual([
      'refuse: parts.price is NOT NULL, has no default, and nothing of items gives it a value: a row that the service adds could not come back',
    ]);
    const optional = live('parts', ['id', column('price', { hasDefault: true })], ['id']);
    expect(reversed(optional, target, { columns: { id: 'id', ...sql } }).findings).toEqual([
      'warn: items.cents is computed from parts.price, which nothing gives back: what the service writes to it does not come back',
    ]);
    const both = live('items', ['id', 'price', 'cents'], ['id']);
    const mappedToo = { columns: { id: 'id', price: 'price', ...sql } };
    expect(reversed(live('parts', ['id', 'price'], ['id']), both, mappedToo).findings).toEqual([]);
  });

  test('takes a column that went to two from the one of its name, and says so', () => {
    const source = live('parts', ['id', 'name'], ['id']);
    const target = live('items', ['id', 'alias', 'name'], ['id']);
    const { table, findings } = reversed(source, target, { columns: { id: 'id', alias: 'name', name: 'name' } });
    expect(table.mapping.columns).toContainEqual({ target: 'name', from: 'column', column: 'name' });
    expect(findings).toEqual([
      'warn: name is taken back from name; what the service writes to alias alone does not come back',
    ]);
  });

  test('never writes what the monolith generates', () => {
    const source = live('parts', ['id', column('made', { generated: 'stored' })], ['id']);
    const { table, findings } = reversed(source, live('items', ['id', 'made'], ['id']), { columns: null });
    expect(table.mapping.columns.map((one) => one.target)).toEqual(['id']);
    expect(findings).toEqual([]);
  });

  test('is refused where the service tells rows apart by another key', () => {
    const source = live('parts', ['id'], ['id']);
    const target = {
      ...live('items', [column('own', { autoIncrement: true, hasDefault: true }), 'id'], ['own']),
      uniqueKeys: [{ name: 'by_id', columns: ['id'], exact: true }],
    };
    expect(reversed(source, target, { columns: { id: 'id' } }).findings).toEqual([
      'refuse: the primary key of items (own) is not what the key of parts (id) goes to (id), so no row could be found again',
    ]);
  });

  test('and turned round again is what it was, where each column goes to one', () => {
    const permutation = fc.shuffledSubarray(['a', 'b', 'c', 'd', 'e'], { minLength: 5 });
    fc.assert(
      fc.property(permutation, permutation, fc.integer({ min: 1, max: 4 }), (order, to, keys) => {
        const source = live('parts', order, order.slice(0, keys));
        const named = new Map(order.map((name, at) => [name, `to_${to[at]}`]));
        const target = live(
          'items',
          [...named.values()].sort(),
          source.primaryKey.map((name) => named.get(name) as string),
        );
        const columns = Object.fromEntries([...named].map(([from, name]) => [name, from]));
        const first = mapped(source, target, { columns });
        const once = reverseTables('shop', [first]).tables;
        const [twice] = reverseTables('shop', once).tables;
        expect(twice?.mapping).toEqual({ ...first.mapping, slice: 'shop-reverse' });
      }),
    );
  });
});

test('a slice on its way back has the tables that move, turned round, and the canary', () => {
  const table = (source: string, target: string, reference = false): SliceTable => ({
    source,
    target,
    key: ['id'],
    columns: { id: 'id' },
    transform: null,
    reference,
    until: null,
  });
  const slice = { slice: 'shop', tables: [table('parts', 'items'), table('accounts', 'authors', true)] } as Slice;
  const back = reverseSlice(slice);
  expect(back.slice).toBe('shop-reverse');
  expect(back.tables.map(({ source, target }) => [source, target])).toEqual([
    ['items', 'parts'],
    [canaryTable, canaryTable],
  ]);
  expect(sliceOfPipe(back.slice)).toBe('shop');
  expect(sliceOfPipe(pipeNameOf('shop', 'forward'))).toBe('shop');
});
