import { compareVersions, type RowMessage, type RowVersion } from '@strangler/platform/contracts/row-message.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import type { Statement } from './apply-transaction.ts';
import { positionsTable } from './own-tables.ts';
import { type Lock, lockSql } from './versions.ts';

/** How far a stream of changes has been applied. Ids are not in commit order across rows: this is for lag, not for proof. */
export type Position = {
  name: string;
  /** The highest version among the changes that came this way. */
  version: RowVersion;
  /** When the newest of them was made in the source. */
  changedAt: Date;
  appliedAt: Date;
};

/** The statement that raises the positions of streams to what came by each; none ever goes down. Undefined where nothing came. */
export function positionsStatement(
  streams: ReadonlyMap<string, readonly Pick<RowMessage, 'version' | 'at'>[]>,
): Statement | undefined {
  const rows: [name: string, epoch: number, id: string, changedAt: string][] = [];
  // In one order always: several appliers may record several each.
  for (const [name, messages] of [...streams].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [first, ...others] = messages;
    if (first === undefined) continue;
    let { version, at } = first;
    for (const message of others) {
      if (compareVersions(message.version, version) > 0) version = message.version;
      if (message.at > at) at = message.at;
    }
    rows.push([name, version.epoch, version.id, at.slice(0, -1).replace('T', ' ')]);
  }
  if (rows.length === 0) return undefined;
  const newer = '(VALUES(epoch) > epoch OR (VALUES(epoch) = epoch AND VALUES(id) > id))';
  return {
    sql: `INSERT INTO ${positionsTable} (name, epoch, id, changed_at, applied_at)
     VALUES ${rows.map(() => '(?, ?, ?, ?, UTC_TIMESTAMP(6))').join(', ')}
     ON DUPLICATE KEY UPDATE id = IF(${newer}, VALUES(id), id), epoch = GREATEST(epoch, VALUES(epoch)),
       changed_at = GREATEST(changed_at, VALUES(changed_at)), applied_at = VALUES(applied_at)`,
    values: rows.flat(),
  };
}

/** Raises the positions of streams to what came by each. */
export async function recordPositions(
  db: Queryable,
  streams: ReadonlyMap<string, readonly Pick<RowMessage, 'version' | 'at'>[]>,
): Promise<void> {
  const statement = positionsStatement(streams);
  if (statement !== undefined) await db.query(statement.sql, [...statement.values]);
}

/** The statement that reads the version which stands under a name; it gives one row or none. */
export const positionStatement = (name: string, lock: Lock): Statement => ({
  sql: `SELECT epoch, CAST(id AS CHAR) AS id FROM ${positionsTable} WHERE name = ?${lockSql[lock]}`,
  values: [name],
});

/** The version that stands under a name. */
export async function readPosition(db: Queryable, name: string, lock: Lock): Promise<RowVersion | undefined> {
  const { sql, values } = positionStatement(name, lock);
  const [row] = await rowsOf<RowVersion>(db, sql, values);
  return row;
}

/** The positions of all streams. */
export async function readPositions(db: Queryable): Promise<Position[]> {
  const rows = await rowsOf<{ name: string; epoch: number; id: string; changed_at: Date; applied_at: Date }>(
    db,
    `SELECT name, epoch, CAST(id AS CHAR) AS id, changed_at, applied_at FROM ${positionsTable} ORDER BY name LIMIT 1000`,
  );
  return rows.map(({ name, epoch, id, changed_at, applied_at }) => ({
    name,
    version: { epoch, id },
    changedAt: changed_at,
    appliedAt: applied_at,
  }));
}
