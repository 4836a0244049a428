import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { Log } from '@strangler/platform/log.ts';
import { CommitOutcomeUnknown, conflictOf, withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { createApplier } from '../apply/applier.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { isServerAway } from '../apply/sql-errors.ts';
import { beginCheckpoint, type Checkpoint, moveCheckpoint, readCheckpoint } from './checkpoint.ts';
import {
  addToRate,
  type ChunkLimits,
  type ChunkTaken,
  defaultChunkLimits,
  etaMs,
  nextChunkRows,
  noRate,
} from './pace.ts';
import { type Chunk, createChunkReader } from './read-chunk.ts';
import { askAll, type Throttle } from './throttle.ts';
import { createChunkWriter } from './write-chunk.ts';

export type BackfillOptions = {
  table: MappedTable;
  /** Reads only: made by `createReadPool`. */
  source: Pool;
  /** Made by `createApplyPool`. */
  target: Pool;
  log: Log;
  limits?: Partial<ChunkLimits>;
  /** Asked before each chunk; the copy waits while one of them says so. */
  throttles?: readonly Throttle[];
  /** Begins anew from the first key. Rows that are there stay as they are. */
  restart?: boolean;
  /** Rows that may wait for a unique value, 10 000 unless told. */
  maxParked?: number;
  /** How long a database may be away before the copy gives up, 10 minutes unless told. */
  maxOutageMs?: number;
  /** Ends the copy after the chunk in hand; begun again, it goes on from there. */
  signal?: AbortSignal;
};

export type BackfillProgress = {
  table: string;
  rowsRead: number;
  /** Fewer than were read where changes came first, or the rows were there. */
  rowsWritten: number;
  rowsParked: number;
  /** The engine's guess of how many there are. */
  rowsEstimate: number;
  rowsPerSecond: number;
  /** Null while there is no telling. */
  etaMs: number | null;
};

export type BackfillEvent =
  | ({ kind: 'begun' | 'resumed' | 'chunk' | 'stopped' | 'done' } & BackfillProgress)
  | ({ kind: 'waiting'; reason: string } & BackfillProgress);

/**
 * Copies the rows of one table that the target knows no version of, chunk by chunk in the order of the key, beside
 * whatever is captured and applied meanwhile: capture must have been installed before it begins. Each chunk's checkpoint
 * is in the transaction of its rows, so that a copy which was killed goes on where it was.
 * @throws BackfillRefused, CheckpointMoved, ParkingFull, RowTooLarge, and what the databases say
 */
export async function* backfillTable(options: BackfillOptions): AsyncGenerator<BackfillEvent, void, void> {
  const { table, source, target, log, throttles = [], maxParked = 10_000, maxOutageMs = 600_000, signal } = options;
  const limits = { ...defaultChunkLimits, ...options.limits };
  const name = table.mapping.target;
  const reader = createChunkReader(table);
  const writer = createChunkWriter(table, reader, limits.maxBytes, maxParked);
  const applier = createApplier({ pool: target, tables: [table], log, maxParked });
  const read = (lastKey: Checkpoint['lastKey'], rows: number): Promise<Chunk> =>
    reader.read(source, { after: lastKey, upTo: null }, rows);

  let checkpoint = await beginCheckpoint(target, name, options.restart === true);
  let rate = noRate;
  let taken: ChunkTaken | null = null;
  let outage: { sinceMs: number; delayMs: number | undefined } | null = null;
  /** The next chunk, which is read while one is written. */
  const ahead: { chunk: Promise<Chunk> | null } = { chunk: null };

  const progress = (): BackfillProgress => ({
    table: name,
    rowsRead: checkpoint.rowsRead,
    rowsWritten: checkpoint.rowsWritten,
    rowsParked: checkpoint.rowsParked,
    rowsEstimate: table.source.rowsEstimate,
    rowsPerSecond: rate.perSecond,
    etaMs: checkpoint.state === 'done' ? 0 : etaMs(table.source.rowsEstimate, checkpoint.rowsRead, rate),
  });

  yield { kind: checkpoint.lastKey === null ? 'begun' : 'resumed', ...progress() };
  while (checkpoint.state === 'running') {
    if (signal?.aborted) {
      yield { kind: 'stopped', ...progress() };
      return;
    }
    try {
      const verdict = await askAll(throttles);
      if (verdict.kind === 'wait') {
        yield { kind: 'waiting', reason: verdict.reason, ...progress() };
        await pause(verdict.waitMs, signal);
        continue;
      }
      const startedAt = performance.now();
      const chunk: Chunk = await (ahead.chunk ?? read(checkpoint.lastKey, nextChunkRows(taken, limits)));
      ahead.chunk = null;
      const next: Checkpoint = await writeChunk(chunk, checkpoint);
      const tookMs = performance.now() - startedAt;
      taken = { rows: chunk.rows.length, bytes: chunk.bytes, tookMs };
      rate = addToRate(rate, chunk.rows.length, tookMs);
      if (next.rowsParked > checkpoint.rowsParked || next.state === 'done') await applier.retryParked();
      checkpoint = next;
      outage = null;
      if (checkpoint.state === 'running') yield { kind: 'chunk', ...progress() };
    } catch (error) {
      ahead.chunk = null;
      if (error instanceof CommitOutcomeUnknown) {
        // The checkpoint is in the same transaction as the rows: it knows.
        checkpoint = await beginCheckpoint(target, name, false).catch(() => checkpoint);
      } else if (conflictOf(error) === undefined && !isServerAway(error)) throw error;
      outage ??= { sinceMs: performance.now(), delayMs: undefined };
      if (performance.now() - outage.sinceMs > maxOutageMs) throw error;
      outage.delayMs = nextBackoffMs(outage.delayMs, { baseMs: 50, capMs: 2000 });
      log.warn({ table: name, err: error }, 'a chunk is tried again');
      yield { kind: 'waiting', reason: `${(error as Error).message}`, ...progress() };
      await pause(outage.delayMs, signal);
      checkpoint = (await readCheckpoint(target, name).catch(() => undefined)) ?? checkpoint;
    }
  }
  yield { kind: 'done', ...progress() };

  /** Writes a chunk and moves the checkpoint; the next one is read meanwhile. */
  async function writeChunk(chunk: Chunk, from: Checkpoint): Promise<Checkpoint> {
    const { lastKey } = chunk;
    if (lastKey === null) {
      const end: Checkpoint = { ...from, state: 'done' };
      await withTransaction(target, 'READ COMMITTED', (connection) => moveCheckpoint(connection, name, from, end));
      return end;
    }
    // How long this one takes is not known yet: as long a row as the last one did.
    const tookMs = taken === null ? limits.goalMs : (taken.tookMs * chunk.rows.length) / Math.max(1, taken.rows);
    const size: ChunkTaken = { rows: chunk.rows.length, bytes: chunk.bytes, tookMs };
    ahead.chunk = read(lastKey, nextChunkRows(size, limits));
    // Awaited in the next turn, or not at all.
    ahead.chunk.catch(() => {});
    return await withTransaction(target, 'READ COMMITTED', async (connection) => {
      const { written, parked } = await writer.write(connection, chunk.rows);
      const to: Checkpoint = {
        state: 'running',
        lastKey,
        rowsRead: from.rowsRead + chunk.rows.length,
        rowsWritten: from.rowsWritten + written,
        rowsParked: from.rowsParked + parked,
      };
      await moveCheckpoint(connection, name, from, to);
      return to;
    });
  }
}
