import { initialVersion, type RowImage } from '@strangler/platform/contracts/row-message.ts';
import type { Connection } from 'mysql2/promise';
import { rowId, splitIntoBatches } from '../apply/choose-changes.ts';
import { affectedBy } from '../apply/own-tables.ts';
import { park } from '../apply/parked.ts';
import type { MappedTable, RowChange } from '../apply/row-shape.ts';
import { type RowStatements, rowStatements } from '../apply/row-statements.ts';
import { faultOf } from '../apply/sql-errors.ts';
import { readVersions } from '../apply/versions.ts';
import { type NewRowsSql, newRowsSql } from './new-rows.ts';
import type { ChunkReader, CopiedRow } from './read-chunk.ts';

/** Rows of the source that the target cannot take: the copy cannot be made. */
export class BackfillRefused extends Error {
  override name = 'BackfillRefused';
}

export type ChunkWritten = { written: number; parked: number };

export type ChunkWriter = {
  /**
   * Inserts the rows of which the target knows no version and has no row, in the caller's transaction.
   * @throws BackfillRefused, ParkingFull
   */
  write(connection: Connection, rows: readonly CopiedRow[]): Promise<ChunkWritten>;
};

/** Of one statement: of many more rows each costs the server more, for it keeps all that it has parsed. */
const statementLimits = { maxRows: 500, maxBytes: 512 * 1024 };

type Clash = { row: CopiedRow; uniqueKey: string };

/**
 * Why nothing is lost or brought back: who applies a change writes its version before it touches the row; the copy
 * inserts the row before it looks for a version, with a lock. So of the two, one at least waits for the other or sees
 * what it did: a delete that is applied in between either finds the copied row, or leaves a tombstone that is found here.
 */
export function createChunkWriter(
  table: MappedTable,
  reader: Pick<ChunkReader, 'imageOf'>,
  maxParked: number,
): ChunkWriter {
  const { mapping } = table;
  const statements = rowStatements(table);
  const newRows = newRowsSql(table);
  const keysOf = (rows: readonly CopiedRow[]) => rows.map(({ keyText }) => ({ table: mapping.target, keyText }));

  return {
    async write(connection, rows) {
      const known = await readVersions(connection, keysOf(rows), 'none');
      const missing = rows.filter(({ keyText }) => !known.has(rowId(mapping.target, keyText)));
      if (missing.length === 0) return { written: 0, parked: 0 };
      const clashes: Clash[] = [];
      let written = 0;
      for (const part of splitIntoBatches(missing, ({ json }) => json.length, statementLimits)) {
        written +=
          (await insertNew(connection, newRows, part)) ?? (await insert(connection, statements, part, clashes));
      }
      const since = await readVersions(connection, keysOf(missing), 'share');
      const buried = missing.filter(({ keyText }) => since.get(rowId(mapping.target, keyText))?.deleted === true);
      if (buried.length > 0) written -= await remove(connection, statements, buried);
      const waiting = clashes.filter(({ row }) => !since.has(rowId(mapping.target, row.keyText)));
      if (waiting.length > 0) {
        const parked = waiting.map(({ row, uniqueKey }) => ({
          change: changeOf(table, row, reader.imageOf(row)),
          uniqueKey,
        }));
        await park(connection, mapping.target, parked, maxParked);
      }
      return { written, parked: waiting.length };
    },
  };
}

/** Inserts rows none of which should be there; null, and nothing is inserted, where the server finds a fault in any. */
async function insertNew(
  connection: Connection,
  newRows: NewRowsSql | null,
  rows: readonly CopiedRow[],
): Promise<number | null> {
  if (newRows === null) return null;
  try {
    return await affectedBy(connection, newRows(rows.map(({ json }) => json)));
  } catch (error) {
    if (faultOf(error).kind === 'other') throw error;
    return null;
  }
}

/** Inserts rows that are not there at once, and by halves where one of them clashes. Gives how many were inserted. */
async function insert(
  connection: Connection,
  statements: RowStatements,
  rows: readonly CopiedRow[],
  clashes: Clash[],
): Promise<number> {
  try {
    return await affectedBy(connection, statements.insert, [jsonOf(rows)]);
  } catch (error) {
    const fault = faultOf(error);
    if (fault.kind === 'other') throw error;
    if (rows.length === 1) {
      const row = rows[0] as CopiedRow;
      if (fault.kind === 'refused') {
        throw new BackfillRefused(
          `row ${row.keyText}: expected a row that the target can take, found ${fault.reason}; change the mapping or the target's column`,
          { cause: error },
        );
      }
      clashes.push({ row, uniqueKey: fault.uniqueKey });
      return 0;
    }
  }
  const middle = Math.ceil(rows.length / 2);
  const first = await insert(connection, statements, rows.slice(0, middle), clashes);
  return first + (await insert(connection, statements, rows.slice(middle), clashes));
}

/** Takes rows away again whose tombstones have come meanwhile. */
async function remove(connection: Connection, statements: RowStatements, rows: readonly CopiedRow[]): Promise<number> {
  const keys = rows.map(({ json }) => (JSON.parse(json) as string[]).slice(0, statements.shape.keySlots));
  return await affectedBy(connection, statements.delete, [JSON.stringify(keys)]);
}

const jsonOf = (rows: readonly CopiedRow[]): string => `[${rows.map(({ json }) => json).join(',')}]`;

/** The copied row as a change that may wait: version (0, 0), older than any that was captured. */
const changeOf = ({ mapping }: MappedTable, row: CopiedRow, image: RowImage): RowChange => {
  const key = Object.fromEntries(mapping.key.map((column) => [column, image[column] as string]));
  return { op: 'upsert', key, keyText: row.keyText, image, version: initialVersion };
};
