import type { Connection } from 'mysql2/promise';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import type { Statement } from './apply-transaction.ts';
import { rowId, type StoredVersion, type TableChange } from './choose-changes.ts';
import { versionsTable } from './own-tables.ts';

/** Another transaction wrote a first version of the same row: begin anew, and see it. */
export class VersionRace extends Error {
  override name = 'VersionRace';
}

export type Lock = 'none' | 'share' | 'update';

// Both engines understand LOCK IN SHARE MODE; only one of them FOR SHARE.
export const lockSql: Record<Lock, string> = { none: '', share: ' LOCK IN SHARE MODE', update: ' FOR UPDATE' };

/** A key that the target may know a version of. */
export type RowKey = { table: string; keyText: string };

export type VersionRow = { table_name: string; key_text: string; epoch: number; id: string; deleted: number };

/** The versions that the target has of these rows, by `rowId`; rows without one are not in the map. */
export async function readVersions(
  db: Queryable,
  keys: readonly RowKey[],
  lock: Lock,
): Promise<Map<string, StoredVersion>> {
  const rows: VersionRow[] = [];
  for (const { sql, values } of versionsStatements(keys, lock))
    rows.push(...(await rowsOf<VersionRow>(db, sql, values)));
  return versionsOf(rows);
}

/** The statements that read these rows' versions, one a table; what they give is for `versionsOf`. */
export const versionsStatements = (keys: readonly RowKey[], lock: Lock): Statement[] =>
  [...byTable(keys)].map(([table, texts]) => ({
    sql: `SELECT table_name, CONVERT(key_text USING utf8mb4) AS key_text, epoch, CAST(id AS CHAR) AS id, deleted
       FROM ${versionsTable} WHERE table_name = ? AND key_text IN (?)${lockSql[lock]}`,
    values: [table, texts],
  }));

export const versionsOf = (rows: readonly VersionRow[]): Map<string, StoredVersion> =>
  new Map(
    rows.map(({ table_name, key_text, epoch, id, deleted }) => [
      rowId(table_name, key_text),
      { epoch, id, deleted: deleted === 1 },
    ]),
  );

/**
 * Writes the versions of changes that are newer than what is stored, before their rows are touched: who copies rows
 * looks for a version after it has inserted one, so that one of the two always sees the other.
 * @throws VersionRace
 */
export async function writeVersions(
  connection: Connection,
  changes: readonly TableChange[],
  stored: ReadonlyMap<string, StoredVersion>,
): Promise<void> {
  await addVersions(connection, changes, stored);
  const raise = raiseStatement(changes, stored);
  if (raise !== undefined) await connection.query(raise.sql, [...raise.values]);
}

/**
 * Writes the versions of changes of rows that had none: nothing is locked of them yet.
 * @throws VersionRace
 */
export async function addVersions(
  connection: Connection,
  changes: readonly TableChange[],
  stored: ReadonlyMap<string, StoredVersion>,
): Promise<void> {
  const added = changes.filter(({ table, change }) => !stored.has(rowId(table, change.keyText)));
  const columns = `${versionsTable} (table_name, key_text, epoch, id, deleted)`;
  if (added.length > 0) {
    try {
      await connection.query(`INSERT INTO ${columns} VALUES ?`, [added.map(versionRow)]);
    } catch (error) {
      if ((error as { errno?: number }).errno === 1062) {
        throw new VersionRace('a row was seen for the first time by two transactions at once', { cause: error });
      }
      throw error;
    }
  }
}

/** The statement that raises the versions of changes of rows that had one, which is locked: any time before the commit will do. */
export function raiseStatement(
  changes: readonly TableChange[],
  stored: ReadonlyMap<string, StoredVersion>,
): Statement | undefined {
  const raised = changes.filter(({ table, change }) => stored.has(rowId(table, change.keyText)));
  return raised.length === 0 ? undefined : putStatement(raised.map(versionRow));
}

/** Gives the rows of changes that were not written after all the versions they had before. */
export async function restoreVersions(
  connection: Connection,
  changes: readonly TableChange[],
  stored: ReadonlyMap<string, StoredVersion>,
): Promise<void> {
  const before: VersionValues[] = [];
  const none: RowKey[] = [];
  for (const { table, change } of changes) {
    const version = stored.get(rowId(table, change.keyText));
    if (version === undefined) none.push({ table, keyText: change.keyText });
    else before.push([table, change.keyText, version.epoch, version.id, version.deleted ? 1 : 0]);
  }
  if (before.length > 0) {
    const { sql, values } = putStatement(before);
    await connection.query(sql, [...values]);
  }
  for (const [table, texts] of byTable(none)) {
    await connection.query(`DELETE FROM ${versionsTable} WHERE table_name = ? AND key_text IN (?)`, [table, texts]);
  }
}

type VersionValues = [table: string, keyText: string, epoch: number, id: string, deleted: number];

const versionRow = ({ table, change }: TableChange): VersionValues => [
  table,
  change.keyText,
  change.version.epoch,
  change.version.id,
  change.op === 'delete' ? 1 : 0,
];

const putStatement = (rows: readonly VersionValues[]): Statement => ({
  sql: `INSERT INTO ${versionsTable} (table_name, key_text, epoch, id, deleted) VALUES ?
     ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), id = VALUES(id), deleted = VALUES(deleted)`,
  values: [rows],
});

const byTable = (keys: readonly RowKey[]): Map<string, string[]> => {
  const tables = new Map<string, string[]>();
  for (const { table, keyText } of keys) {
    const texts = tables.get(table);
    if (texts === undefined) tables.set(table, [keyText]);
    else texts.push(keyText);
  }
  return tables;
};
