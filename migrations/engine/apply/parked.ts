import type { RowVersion } from '@strangler/platform/contracts/row-message.ts';
import type { Connection } from 'mysql2/promise';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import type { Statement } from './apply-transaction.ts';
import { parkedTable } from './own-tables.ts';
import type { RowChange } from './row-shape.ts';

/** A change that waits because another row has a unique value of its image. */
export type ParkedChange = { change: RowChange; uniqueKey: string };

/** More changes wait than may: something keeps unique values that the source has given up. */
export class ParkingFull extends Error {
  override name = 'ParkingFull';

  constructor(table: string, limit: number, uniqueKey: string) {
    super(
      `${table}: expected at most ${limit} changes waiting for a unique value, found more (last on ${uniqueKey}); ` +
        `look into ${parkedTable} and verify the table: a row of the target keeps a value that the source has given to another`,
    );
  }
}

type ParkedRow = { key_text: string; epoch: number; id: string; row_change: string; unique_key: string };

/** What a waiting change keeps of itself beside its key's text and version. */
type KeptChange = Pick<RowChange, 'op' | 'key' | 'image' | 'at'>;

/** Parks changes of one table; of a key, the newest stays. @throws ParkingFull beyond `limit` waiting changes. */
export async function park(
  connection: Connection,
  table: string,
  parked: readonly ParkedChange[],
  limit: number,
): Promise<void> {
  const values = parked.map(({ change, uniqueKey }) => {
    const { op, key, image, at } = change;
    const kept: KeptChange = { op, key, image, ...(at === undefined ? {} : { at }) };
    return [
      table,
      change.keyText,
      change.version.epoch,
      change.version.id,
      JSON.stringify(kept),
      uniqueKey.slice(0, 64),
    ];
  });
  const rows = values.map(() => '(?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6))').join(', ');
  // The columns are assigned from left to right, and each sees those before it: the version comes last.
  const newer = '(VALUES(epoch) > epoch OR (VALUES(epoch) = epoch AND VALUES(id) > id))';
  const raise = (column: string) => `${column} = IF(${newer}, VALUES(${column}), ${column})`;
  await connection.query(
    `INSERT INTO ${parkedTable} (table_name, key_text, epoch, id, row_change, unique_key, parked_at) VALUES ${rows}
     ON DUPLICATE KEY UPDATE attempts = IF(${newer}, 0, attempts), ${raise('row_change')}, ${raise('unique_key')},
       ${raise('id')}, epoch = GREATEST(epoch, VALUES(epoch))`,
    values.flat(),
  );
  const [count] = await rowsOf<{ n: number }>(
    connection,
    `SELECT COUNT(*) AS n FROM ${parkedTable} WHERE table_name = ?`,
    [table],
  );
  if ((count?.n ?? 0) > limit) throw new ParkingFull(table, limit, parked.at(-1)?.uniqueKey ?? 'unknown');
}

/** The changes of a table that wait, the oldest first, locked for this transaction. */
export async function takeParked(connection: Connection, table: string, limit: number): Promise<ParkedChange[]> {
  const rows = await rowsOf<ParkedRow>(
    connection,
    `SELECT CONVERT(key_text USING utf8mb4) AS key_text, epoch, CAST(id AS CHAR) AS id, row_change, unique_key
     FROM ${parkedTable} WHERE table_name = ? ORDER BY attempts, epoch, ${parkedTable}.id LIMIT ? FOR UPDATE`,
    [table, limit],
  );
  return rows.map(({ key_text, epoch, id, row_change, unique_key }) => ({
    change: { ...(JSON.parse(row_change) as KeptChange), keyText: key_text, version: { epoch, id } },
    uniqueKey: unique_key,
  }));
}

/** Takes changes off the waiting list; a newer one of the same row, that has come since, stays on it. */
export async function unpark(connection: Connection, table: string, changes: readonly RowChange[]): Promise<void> {
  if (changes.length === 0) return;
  await connection.query(
    `DELETE FROM ${parkedTable} WHERE table_name = ? AND (${changes.map(() => '(key_text = ? AND epoch = ? AND id = ?)').join(' OR ')})`,
    [table, ...changes.flatMap(({ keyText, version }) => [keyText, version.epoch, version.id])],
  );
}

/** Notes that changes have been tried in vain: others come first next time. */
export async function noteAttempt(connection: Connection, table: string, changes: readonly RowChange[]): Promise<void> {
  if (changes.length === 0) return;
  await connection.query(`UPDATE ${parkedTable} SET attempts = attempts + 1 WHERE table_name = ? AND key_text IN (?)`, [
    table,
    changes.map(({ keyText }) => keyText),
  ]);
}

/** How many changes wait, by table; tables where none do are not in it. */
export async function countParked(db: Queryable, tables: readonly string[]): Promise<Map<string, number>> {
  if (tables.length === 0) return new Map();
  const { sql, values } = parkedStatement(tables);
  return parkedCounts(await rowsOf<ParkedCount>(db, sql, values));
}

export type ParkedCount = { name: string; n: number };

/** The statement that counts them; what it gives is for `parkedCounts`. */
export const parkedStatement = (tables: readonly string[]): Statement => ({
  sql: `SELECT table_name AS name, COUNT(*) AS n FROM ${parkedTable} WHERE table_name IN (?) GROUP BY table_name`,
  values: [tables],
});

export const parkedCounts = (rows: readonly ParkedCount[]): Map<string, number> =>
  new Map(rows.map(({ name, n }) => [name, n]));

/** The versions that wait, of these rows of one table. */
export async function parkedVersions(
  db: Queryable,
  table: string,
  keyTexts: readonly string[],
): Promise<Map<string, RowVersion>> {
  if (keyTexts.length === 0) return new Map();
  const rows = await rowsOf<{ key_text: string; epoch: number; id: string }>(
    db,
    `SELECT CONVERT(key_text USING utf8mb4) AS key_text, epoch, CAST(id AS CHAR) AS id FROM ${parkedTable}
     WHERE table_name = ? AND key_text IN (?)`,
    [table, keyTexts],
  );
  return new Map(rows.map(({ key_text, epoch, id }) => [key_text, { epoch, id }]));
}
