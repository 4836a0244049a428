import type { Pool, PoolConnection } from 'mysql2/promise';
import { Counter, Gauge, type Registry } from 'prom-client';
import { pause } from '../backoff.ts';
import type { Log } from '../log.ts';
import { type AppliedMark, readApplied } from './applied.ts';
import {
  defaultPartitionsAhead,
  defaultRowsPerPartition,
  outboxTable,
  partitionName,
  pendingIndex,
  type Queryable,
  restPartition,
  rowsOf,
} from './schema.ts';

export type Partition = {
  name: string;
  /** Its ids are below it; undefined for the last partition, which takes all the rest. */
  bound: bigint | undefined;
};

export type RotationOptions = {
  /** Rows younger than this are kept, published or not: how far back whoever compares the databases looks. */
  horizonMs: number;
  rowsPerPartition?: number;
  partitionsAhead?: number;
  /** Rows that may be moved out of the last partition at most, since writers wait meanwhile. */
  maxRowsToMove?: number;
};

export type RotationOutcome = {
  added: string[];
  dropped: string[];
  /** What had to be left for another time, and why. */
  left: Left[];
  /** Another session is rotating; nothing was done. */
  skipped: boolean;
};

export type Left = {
  /** The partition. */
  what: string;
  why: 'rows not published' | 'rows too young' | 'rows not applied' | 'table in use' | 'too many rows to move';
  /** Of `rows not applied`: whose. */
  slice?: string;
};

/**
 * The bounds of partitions to add so that `ahead` of them lie wholly above `nextId`, each of `rows` ids. None when enough
 * are there.
 */
export function boundsToAdd(
  partitions: readonly Partition[],
  nextId: bigint,
  { ahead, rows }: { ahead: number; rows: bigint },
): bigint[] {
  const bounds = partitions.flatMap(({ bound }) => (bound === undefined ? [] : [bound]));
  const last = bounds.at(-1) ?? 0n;
  // A partition lies above the counter when the one before it ends there or higher.
  const lowerEnds = [0n, ...bounds];
  const empty = bounds.filter((_, at) => (lowerEnds[at] ?? 0n) >= nextId).length;
  // Where the counter has run into the last partition, that part of it becomes one too.
  const first = last < nextId ? ((nextId + rows) / rows) * rows : last + rows;
  const missing = ahead - empty + (last < nextId ? 1 : 0);
  return Array.from({ length: Math.max(0, missing) }, (_, at) => first + rows * BigInt(at));
}

/**
 * Partitions whose ids have all been given out, oldest first; never the one with the highest id, by which a restarted
 * server may find its counter.
 */
export function closedPartitions(partitions: readonly Partition[], nextId: bigint): Partition[] {
  return partitions.filter(({ bound }) => bound !== undefined && bound < nextId);
}

const lockName = (schema: string) => `strangler_outbox_rotation.${schema}`.slice(0, 64);

/**
 * Makes partitions ahead of the counter and drops those whose rows are all published, older than the horizon and, of
 * slices that are captured, told to be applied: what the broker should lose is still here to be published again. Safe
 * under writers: both kinds of change wait for them a second at most and are left for another time otherwise, and whether
 * all is published is asked again while nobody can write. A transaction that has written and not ended keeps both from
 * happening, so nothing that is still to be committed can be dropped.
 */
export async function rotate(db: Pool, options: RotationOptions): Promise<RotationOutcome> {
  const connection = await db.getConnection();
  try {
    // Waiting for a table lock makes later writers wait behind us.
    await connection.query('SET SESSION lock_wait_timeout = 1');
    const [{ schema, got } = { schema: '', got: 0 }] = await rowsOf<{ schema: string; got: number }>(
      connection,
      'SELECT DATABASE() AS `schema`, GET_LOCK(?, 0) AS got',
      [lockName(await schemaOf(connection))],
    );
    if (got !== 1) return { added: [], dropped: [], left: [], skipped: true };
    const outcome = await rotateLocked(connection, options);
    await connection.query('DO RELEASE_LOCK(?)', [lockName(schema)]);
    return outcome;
  } finally {
    // Its session has settings, and after an error perhaps locks, that nobody else may get.
    connection.destroy();
  }
}

async function rotateLocked(connection: PoolConnection, options: RotationOptions): Promise<RotationOutcome> {
  const {
    horizonMs,
    rowsPerPartition = defaultRowsPerPartition,
    partitionsAhead = defaultPartitionsAhead,
    maxRowsToMove = 10_000,
  } = options;
  const outcome: RotationOutcome = { added: [], dropped: [], left: [], skipped: false };
  const partitions = await readPartitions(connection);
  const nextId = await readNextId(connection);

  const bounds = boundsToAdd(partitions, nextId, { ahead: partitionsAhead, rows: BigInt(rowsPerPartition) });
  if (bounds.length > 0) await add(connection, bounds, maxRowsToMove, outcome);

  const marks = await readApplied(connection);
  for (const { name } of closedPartitions(partitions, nextId)) {
    const kept =
      (await keptBy(connection, name, marks)) ??
      ((await youngIn(connection, name, horizonMs)) ? { why: 'rows too young' as const } : undefined) ??
      (await dropUnlessKept(connection, name, marks));
    if (kept === undefined) outcome.dropped.push(name);
    else {
      outcome.left.push({ what: name, ...kept });
      // Those after it are younger.
      break;
    }
  }
  return outcome;
}

type Kept = Omit<Left, 'what'>;

async function add(
  connection: PoolConnection,
  bounds: readonly bigint[],
  maxRowsToMove: number,
  outcome: RotationOutcome,
): Promise<void> {
  const [count] = await rowsOf<{ n: number }>(
    connection,
    `SELECT COUNT(*) AS n FROM (SELECT 1 FROM ${outboxTable} PARTITION (${restPartition}) LIMIT ${maxRowsToMove + 1}) AS some`,
  );
  if ((count?.n ?? 0) > maxRowsToMove) {
    outcome.left.push({ what: restPartition, why: 'too many rows to move' });
    return;
  }
  const parts = bounds.map((bound) => `PARTITION ${partitionName(bound)} VALUES LESS THAN (${bound})`);
  const alter = `ALTER TABLE ${outboxTable} REORGANIZE PARTITION ${restPartition} INTO (${parts.join(', ')}, PARTITION ${restPartition} VALUES LESS THAN MAXVALUE)`;
  // MariaDB finds its AUTO_INCREMENT counter anew after this; a writer in the midst of it could be given an id that is taken.
  if (!(await unlessInUse(() => connection.query(`LOCK TABLES ${outboxTable} WRITE`)))) {
    outcome.left.push({ what: bounds.map(partitionName).join(', '), why: 'table in use' });
    return;
  }
  try {
    await connection.query(alter);
    outcome.added.push(...bounds.map(partitionName));
  } finally {
    await connection.query('UNLOCK TABLES');
  }
}

/** Why the partition was not dropped; undefined where it was. */
async function dropUnlessKept(
  connection: PoolConnection,
  name: string,
  marks: readonly AppliedMark[],
): Promise<Kept | undefined> {
  // Granted only when no open transaction has touched the table: from here on all that will ever be in this partition is seen.
  if (!(await unlessInUse(() => connection.query(`LOCK TABLES ${outboxTable} WRITE`)))) return { why: 'table in use' };
  try {
    const kept = await keptBy(connection, name, marks);
    if (kept === undefined) await connection.query(`ALTER TABLE ${outboxTable} DROP PARTITION ${name}`);
    return kept;
  } finally {
    await connection.query('UNLOCK TABLES');
  }
}

/** What is still to be done with rows of a partition, whatever their age. */
async function keptBy(db: Queryable, name: string, marks: readonly AppliedMark[]): Promise<Kept | undefined> {
  if (await pendingIn(db, name)) return { why: 'rows not published' };
  for (const { slice, part, id } of marks) {
    const unapplied = await rowsOf(
      db,
      `SELECT 1 FROM ${outboxTable} PARTITION (${name}) FORCE INDEX (${pendingIndex})
       WHERE published = 1 AND part = ? AND id > ? AND kind = 'row' AND topic LIKE ? LIMIT 1`,
      [part, id, `${slice.replace(/[\\_%]/g, '\\$&')}.%`],
    );
    if (unapplied.length > 0) return { why: 'rows not applied', slice };
  }
  return undefined;
}

/** False when the table's lock could not be had within a second. */
async function unlessInUse(change: () => Promise<unknown>): Promise<boolean> {
  try {
    await change();
    return true;
  } catch (error) {
    const { errno } = error as { errno?: number };
    // ER_LOCK_WAIT_TIMEOUT; ER_LOCK_DEADLOCK, which a metadata lock can end in too.
    if (errno === 1205 || errno === 1213) return false;
    throw error;
  }
}

async function pendingIn(db: Queryable, name: string): Promise<boolean> {
  const rows = await rowsOf(db, `SELECT 1 FROM ${outboxTable} PARTITION (${name}) WHERE published = 0 LIMIT 1`);
  return rows.length > 0;
}

async function youngIn(db: Queryable, name: string, horizonMs: number): Promise<boolean> {
  const young = `created_at >= UTC_TIMESTAMP(6) - INTERVAL ${Math.round(horizonMs)} * 1000 MICROSECOND`;
  const from = `${outboxTable} PARTITION (${name})`;
  // The newest id is nearly always the youngest row: only when it is old are all of them looked at.
  const newest = await rowsOf<{ young: number }>(db, `SELECT ${young} AS young FROM ${from} ORDER BY id DESC LIMIT 1`);
  if (newest[0]?.young === 1) return true;
  return (await rowsOf(db, `SELECT 1 FROM ${from} WHERE ${young} LIMIT 1`)).length > 0;
}

async function schemaOf(db: Queryable): Promise<string> {
  const [row] = await rowsOf<{ name: string }>(db, 'SELECT DATABASE() AS name');
  return row?.name ?? '';
}

/** In the order of their ids. */
export async function readPartitions(db: Queryable): Promise<Partition[]> {
  const rows = await rowsOf<{ name: string; bound: string }>(
    db,
    `SELECT PARTITION_NAME AS name, PARTITION_DESCRIPTION AS bound FROM information_schema.PARTITIONS
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY PARTITION_ORDINAL_POSITION`,
    [outboxTable],
  );
  return rows.map(({ name, bound }) => ({ name, bound: bound === 'MAXVALUE' ? undefined : BigInt(bound) }));
}

/** An id that is not higher than the next to be given out. */
async function readNextId(db: Queryable): Promise<bigint> {
  // The counter in information_schema may be hours old in MySQL; the highest id that is committed is not.
  const [row] = await rowsOf<{ next: string | null }>(
    db,
    `SELECT CAST(MAX(id) + 1 AS CHAR) AS next FROM ${outboxTable}`,
  );
  return BigInt(row?.next ?? 1);
}

export type Rotation = { stop(): Promise<void> };

/** Rotates now and then every `everyMs`; what could not be done is tried again at the next time. */
export function startRotation({
  db,
  everyMs,
  log,
  metrics,
  ...options
}: RotationOptions & { db: Pool; everyMs: number; log: Log; metrics: Registry }): Rotation {
  const stopped = new AbortController();
  const registers = [metrics];
  const dropped = new Counter({ name: 'outbox_partitions_dropped_total', help: 'Old partitions dropped.', registers });
  const left = new Gauge({
    name: 'outbox_rotation_left',
    help: 'Changes of partitions that the last rotation had to leave for another time.',
    registers,
  });
  const unapplied = new Gauge({
    name: 'outbox_rotation_waits_for_appliers',
    help: '1 while an old partition is kept because a slice has not applied all in it.',
    registers,
  });
  const running = (async () => {
    while (!stopped.signal.aborted) {
      try {
        const outcome = await rotate(db, options);
        dropped.inc(outcome.dropped.length);
        left.set(outcome.left.filter(({ why }) => why !== 'rows too young').length);
        const waits = outcome.left.find(({ why }) => why === 'rows not applied');
        unapplied.set(waits === undefined ? 0 : 1);
        if (waits !== undefined) log.warn(waits, 'an old partition of the outbox is kept: not all in it is applied');
        if (outcome.added.length + outcome.dropped.length > 0)
          log.info(outcome, 'rotated the partitions of the outbox');
      } catch (error) {
        log.warn({ err: error }, 'the partitions of the outbox could not be rotated; trying again later');
      }
      await pause(everyMs, stopped.signal);
    }
  })();
  return {
    async stop() {
      stopped.abort();
      await running;
    },
  };
}
