import { compareVersions, type RowMessage, type RowVersion } from '@strangler/platform/contracts/row-message.ts';
import type { Connection } from 'mysql2/promise';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
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

/** Raises the positions of streams to what came by each; none ever goes down. */
export async function recordPositions(
  connection: Connection,
  streams: ReadonlyMap<string, readonly Pick<RowMessage, 'version' | 'at'>[]>,
): Promise<void> {
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
  if (rows.length === 0) return;
  const newer = '(VALUES(epoch) > epoch OR (VALUES(epoch) = epoch AND VALUES(id) > id))';
  await connection.query(
    `INSERT INTO ${positionsTable} (name, epoch, id, changed_at, applied_at)
     VALUES ${rows.map(() => '(?, ?, ?, ?, UTC_TIMESTAMP(6))').join(', ')}
     ON DUPLICATE KEY UPDATE id = IF(${newer}, VALUES(id), id), epoch = GREATEST(epoch, VALUES(epoch)),
       changed_at = GREATEST(changed_at, VALUES(changed_at)), applied_at = VALUES(applied_at)`,
    rows.flat(),
  );
}

/** The version that stands under a name, read with a lock or without. */
export async function readPosition(db: Queryable, name: string, lock: Lock): Promise<RowVersion | undefined> {
  const [row] = await rowsOf<RowVersion>(
    db,
    `SELECT epoch, CAST(id AS CHAR) AS id FROM ${positionsTable} WHERE name = ?${lockSql[lock]}`,
    [name],
  );
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
