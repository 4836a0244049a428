import type { RowImage, RowMessage } from '@strangler/platform/contracts/row-message.ts';
import type { Dialect } from '@strangler/platform/mysql/pool.ts';
import { type ColumnCodec, codecOf } from '../row/column-codec.ts';
import type { TableMapping } from '../row/table-mapping.ts';
import { columnOf, type TableSchema } from '../schema/table-schema.ts';

/** A mapping with the live schema of both tables. */
export type MappedTable = {
  mapping: TableMapping;
  source: TableSchema;
  sourceDialect: Dialect;
  target: TableSchema;
  targetDialect: Dialect;
};

/** The codec of a source column, for SQL that the `at` server runs. */
export const sourceCodec = (table: MappedTable, column: string, at: 'source' | 'target'): ColumnCodec =>
  codecOf(columnOf(table.source, column), at === 'source' ? table.sourceDialect : table.targetDialect);

/** The codec of a target column, for SQL that the `at` server runs. */
export const targetCodec = (table: MappedTable, column: string, at: 'source' | 'target'): ColumnCodec =>
  codecOf(columnOf(table.target, column), at === 'source' ? table.sourceDialect : table.targetDialect);

/** What of a row message says what becomes of the row. */
export type RowChange = Pick<RowMessage, 'op' | 'key' | 'keyText' | 'image' | 'version'> &
  Partial<Pick<RowMessage, 'at'>>;

/** One text of a row on its way to the target: a column of the image, or what the transform made of it. */
export type Slot = { from: 'image'; column: string } | { from: 'transform'; column: string };

/** The texts of a row in a fixed order, the key's first: the form in which rows are handed to the target's SQL. */
export type RowShape = {
  slots: readonly Slot[];
  /** How many of them are the key's. */
  keySlots: number;
};

/** A change that the mapping cannot make a row of; the message names table, key and column. */
export class RowShapeError extends Error {
  override name = 'RowShapeError';
}

/** The texts that `mapping` needs of a row. */
export const shapeOf = (mapping: TableMapping): RowShape => {
  const slots: Slot[] = mapping.key.map((column) => ({ from: 'image', column }));
  const add = (slot: Slot) => {
    if (!slots.some((known) => known.from === slot.from && known.column === slot.column)) slots.push(slot);
  };
  for (const column of mapping.columns) {
    if (column.from === 'column') add({ from: 'image', column: column.column });
    else if (column.from === 'transform') add({ from: 'transform', column: column.target });
    else for (const name of column.columns) add({ from: 'image', column: name });
  }
  return { slots, keySlots: mapping.key.length };
};

/** Where a slot stands in the shape. */
export const slotIndex = (shape: RowShape, slot: Slot): number =>
  shape.slots.findIndex((known) => known.from === slot.from && known.column === slot.column);

/** The key's texts of a change. @throws RowShapeError when one is missing. */
export const keyTextsOf = (mapping: TableMapping, change: Pick<RowChange, 'key' | 'keyText'>): string[] =>
  mapping.key.map((column) => {
    const text = change.key[column];
    if (text !== undefined) return text;
    throw new RowShapeError(
      `${mapping.source} ${change.keyText}: expected the key column ${column}, found ${Object.keys(change.key).join(', ')}`,
    );
  });

/**
 * The texts of a change's image in the shape's order.
 * @throws RowShapeError when the image lacks a column; whatever the transform throws.
 */
export const slotTexts = (mapping: TableMapping, shape: RowShape, change: RowChange): (string | null)[] => {
  const { image } = change;
  if (image === null) throw new RowShapeError(`${mapping.source} ${change.keyText}: expected an image, found none`);
  const made = mapping.transform === null ? {} : mapping.transform.toTarget(image);
  const keys = keyTextsOf(mapping, change);
  return shape.slots.map((slot, index) => {
    if (index < shape.keySlots) return keys[index] as string;
    const text = (slot.from === 'image' ? image : made)[slot.column];
    if (text !== undefined) return text;
    throw new RowShapeError(
      `${mapping.source} ${change.keyText}: expected ${slot.from === 'image' ? 'the image' : 'the transform'} to give ${slot.column}, found ${Object.keys(slot.from === 'image' ? image : made).join(', ')}`,
    );
  });
};

/** The image whose texts these are, as far as the shape's slots tell it. */
export const imageOfSlots = (shape: RowShape, texts: readonly (string | null)[]): RowImage => {
  const image: RowImage = {};
  shape.slots.forEach((slot, index) => {
    if (slot.from === 'image') image[slot.column] = texts[index] ?? null;
  });
  return image;
};

/** Target columns that the mapping leaves to the service: neither written nor generated. */
export const unmappedColumns = ({ mapping, target }: MappedTable): string[] => {
  const written = new Set(mapping.columns.map((column) => column.target.toLowerCase()));
  return target.columns
    .filter((column) => column.generated === null && !written.has(column.name.toLowerCase()))
    .map((column) => column.name);
};

/** Whether a target column's values may differ in spelling and yet be equal: such key columns are written again. */
export const isText = ({ target }: MappedTable, column: string): boolean => columnOf(target, column).charset !== null;
