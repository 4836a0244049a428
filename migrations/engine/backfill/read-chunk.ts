import { initialVersion, type RowImage } from '@strangler/platform/contracts/row-message.ts';
import { type MappedTable, shapeOf, slotTexts, sourceCodec } from '../apply/row-shape.ts';
import { keyTextSql } from '../row/key-text.ts';
import { quoteName } from '../schema/identifiers.ts';
import type { Queryable } from '../schema/queryable.ts';
import { columnOf } from '../schema/table-schema.ts';
import { type KeyPlace, type KeyRange, keyOrder } from './key-range.ts';

/** A row of the source on its way to the target. */
export type CopiedRow = {
  keyText: string;
  /** The JSON array of its texts in the order of the shape. */
  json: string;
  /** The same as it was read: before the transform, where there is one. */
  read: string;
};

export type Chunk = {
  rows: CopiedRow[];
  /** The key of the last row; null where there is no row. */
  lastKey: KeyPlace | null;
  bytes: number;
};

/** A row whose text is longer than the server may send. */
export class RowTooLarge extends Error {
  override name = 'RowTooLarge';
}

/** Reads rows of one source table in the order of its key, without locks. */
export type ChunkReader = {
  read(db: Queryable, range: KeyRange, maxRows: number): Promise<Chunk>;
  /** The source columns of a row that was read. */
  imageOf(row: CopiedRow): RowImage;
};

/** The server itself makes the JSON of each row, so that a column more costs this process nothing. */
export function createChunkReader(table: MappedTable): ChunkReader {
  const { mapping, source, sourceDialect } = table;
  const shape = shapeOf(mapping);
  const order = keyOrder(
    mapping.key.map((name) => columnOf(source, name)),
    sourceDialect,
  );
  const columns =
    mapping.transform === null ? shape.slots.map(({ column }) => column) : [...mapping.key, ...mapping.captured];
  const texts = columns.map((column) => sourceCodec(table, column, 'source').jsonSql(`s.${quoteName(column)}`));
  const select =
    `SELECT ${keyTextSql(source, sourceDialect, 's.')} AS key_text, ` +
    `CONCAT('[', ${texts.join(", ',', ")}, ']') AS texts FROM ${quoteName(source.name)} AS s`;

  const imageOf = (read: string): RowImage => {
    const found = JSON.parse(read) as (string | null)[];
    return Object.fromEntries(columns.map((column, index) => [column, found[index] ?? null]));
  };

  const transformed = (keyText: string, read: string): string => {
    const image = imageOf(read);
    const key = Object.fromEntries(mapping.key.map((column) => [column, image[column] as string]));
    return JSON.stringify(slotTexts(mapping, shape, { op: 'upsert', key, keyText, image, version: initialVersion }));
  };

  return {
    imageOf: ({ read }) => imageOf(read),
    async read(db, range, maxRows) {
      const { sql, values } = order.within(range);
      const [found] = await db.query({
        sql: `${select} WHERE ${sql} ORDER BY ${order.orderBy} LIMIT ?`,
        values: [...values, maxRows],
        rowsAsArray: true,
      });
      const rows: CopiedRow[] = [];
      let bytes = 0;
      let lastKey: KeyPlace | null = null;
      for (const [keyText, json] of found as unknown as [string, string | null][]) {
        if (json === null) {
          throw new RowTooLarge(
            `${source.name} ${keyText}: expected a row whose text the source can send at once, found a longer one; ` +
              'raise max_allowed_packet of the source',
          );
        }
        const row = mapping.transform === null ? json : transformed(keyText, json);
        rows.push({ keyText, json: row, read: json });
        bytes += row.length + keyText.length;
      }
      const last = rows.at(-1);
      if (last !== undefined) lastKey = (JSON.parse(last.json) as string[]).slice(0, shape.keySlots);
      return { rows, lastKey, bytes };
    },
  };
}
