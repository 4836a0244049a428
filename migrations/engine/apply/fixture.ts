import type { RowImage, RowMessage, RowVersion } from '@strangler/platform/contracts/row-message.ts';
import { joinKeyText } from '@strangler/platform/contracts/row-message.ts';
import { dialectOf } from '@strangler/platform/mysql/pool.ts';
import type { Pool } from 'mysql2/promise';
import type { MappedColumn, RowTransform, TableMapping } from '../row/table-mapping.ts';
import { readTable } from '../schema/read-table.ts';
import type { TableSchema } from '../schema/table-schema.ts';
import { installTargetTables } from './own-tables.ts';
import type { MappedTable } from './row-shape.ts';

/** Two databases on the engine under test. */
export type Sides = { source: Pool; sourceDatabase: string; target: Pool; targetDatabase: string };

export type FixtureMapping = {
  source: string;
  /** The source's name unless told. */
  target?: string;
  /** Target column → source column or expression; every column of the target as it is unless told. */
  columns?: readonly MappedColumn[];
  transform?: RowTransform;
};

/** Reads both tables and maps one to the other, column by column unless told otherwise. */
export async function mapped(sides: Sides, wanted: FixtureMapping): Promise<MappedTable> {
  const dialect = await dialectOf(sides.source);
  const read = async (db: Pool, database: string, table: string): Promise<TableSchema> => {
    const schema = await readTable(db, { dialect, database, table });
    if (schema === undefined) throw new Error(`${database}.${table}: expected a table, found none`);
    return schema;
  };
  const source = await read(sides.source, sides.sourceDatabase, wanted.source);
  const target = await read(sides.target, sides.targetDatabase, wanted.target ?? wanted.source);
  const columns =
    wanted.columns ??
    target.columns
      .filter(({ generated }) => generated === null)
      .map(({ name }): MappedColumn => ({ target: name, from: 'column', column: name }));
  const targetOf = (key: string): string => {
    const found = columns.find((column) => column.from === 'column' && column.column === key);
    if (found === undefined) throw new Error(`${wanted.source}: expected the key column ${key} to be mapped`);
    return found.target;
  };
  const mapping: TableMapping = {
    slice: 'fixture',
    source: source.name,
    target: target.name,
    key: source.primaryKey,
    targetKey: source.primaryKey.map(targetOf),
    columns,
    captured: source.columns.filter(({ generated }) => generated === null).map(({ name }) => name),
    transform: wanted.transform ?? null,
  };
  return { mapping, source, sourceDialect: dialect, target, targetDialect: dialect };
}

/** The tables by which the target keeps its place, made anew. */
export async function prepareTarget(target: Pool): Promise<void> {
  await installTargetTables(target);
}

const messageAt = '2026-11-21T08:45:42.000001Z';

/** A message of a table whose key is one column of plain text or digits. */
export function rowMessage(
  table: string,
  op: 'upsert' | 'delete',
  key: Record<string, string>,
  image: RowImage | null,
  version: RowVersion,
): RowMessage {
  return {
    slice: 'fixture',
    table,
    op,
    key,
    keyText: joinKeyText(Object.values(key)),
    image,
    version,
    at: messageAt,
    writer: { user: 'test@127.0.0.1' },
  };
}
