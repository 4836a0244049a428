import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { Log } from '@strangler/platform/log.ts';
import { CommitOutcomeUnknown, conflictOf, withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { createApplier } from '../apply/applier.ts';
import { createFencePass } from '../apply/fence-pass.ts';
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
import { type FullChunk, type WrittenChunk, writeInOrder } from './write-in-order.ts';

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
  /** Chunks that are written at a time, 2 unless told. */
  writers?: number;
  /** How long a database may be away before the copy gives up, 10 minutes unless told. */
  maxOutageMs?: number;
  /** Ends the copy after the chunks in hand; begun again, it goes on from there. */
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
 * is in the transaction of its rows, and chunks are committed in order, so that a copy which was killed goes on where it was.
 * @throws BackfillRefused, CheckpointMoved, ParkingFull, RowTooLarge, and what the databases say
 */
export async function* backfillTable(options: BackfillOptions): AsyncGenerator<BackfillEvent, void, void> {
  const { table, source, target, log, throttles = [], maxParked = 10_000, writers = 2, signal } = options;
  const { maxOutageMs = 600_000 } = options;
  const limits = { ...defaultChunkLimits, ...options.limits };
  const name = table.mapping.target;
  const reader = createChunkReader(table);
  const writer = createChunkWriter(table, reader, maxParked);
  const pass = createFencePass(target, table.mapping.slice);
  const applier = createApplier({ pool: target, tables: [table], log, maxParked });

  let checkpoint = await beginCheckpoint(target, name, options.restart === true);
  let rate = noRate;
  let committedAtMs = performance.now();
  let taken: ChunkTaken | null = null;
  let outage: { sinceMs: number; delayMs: number | undefined } | null = null;
  let run: Run | null = null;

  /** Of what is begun from a checkpoint on; after a failure there is another. */
  type Run = ReturnType<typeof createRun>;

  function createRun(from: Checkpoint) {
    return {
      write: writeInOrder({ target, name, writer, pass, from }),
      /** In their order. */
      underWay: [] as { chunk: FullChunk; written: Promise<WrittenChunk> }[],
      /** The next chunk, which is read while others are written. */
      ahead: read(from.lastKey, nextChunkRows(taken, limits)),
      ended: false,
    };
  }

  function read(after: Checkpoint['lastKey'], rows: number): Promise<Chunk> {
    const chunk = reader.read(source, { after, upTo: null }, rows);
    // Awaited later, or not at all.
    chunk.catch(() => {});
    return chunk;
  }

  /** Begins to write what has been read, and to read what comes after it. */
  function begin(run: Run, chunk: Chunk): void {
    if (!isFull(chunk)) {
      run.ended = true;
      return;
    }
    const written = run.write(chunk);
    written.catch(() => {});
    run.underWay.push({ chunk, written });
    // How long this one takes is not known yet: as long a row as the last one did.
    const rows = chunk.rows.length;
    const tookMs = taken === null ? limits.goalMs : (taken.tookMs * rows) / Math.max(1, taken.rows);
    run.ahead = read(chunk.lastKey, nextChunkRows({ rows, bytes: chunk.bytes, tookMs }, limits));
  }

  async function finish(): Promise<Checkpoint> {
    const end: Checkpoint = { ...checkpoint, state: 'done' };
    await withTransaction(target, 'READ COMMITTED', (connection) => moveCheckpoint(connection, name, checkpoint, end));
    await applier.retryParked();
    return end;
  }

  /** Waits until nothing is under way, whatever comes of it. */
  async function settle(): Promise<void> {
    const settled = await Promise.allSettled((run?.underWay ?? []).map(({ written }) => written));
    run = null;
    for (const one of settled) if (one.status === 'fulfilled') checkpoint = one.value.checkpoint;
  }

  const progress = (): BackfillProgress => ({
    table: name,
    rowsRead: checkpoint.rowsRead,
    rowsWritten: checkpoint.rowsWritten,
    rowsParked: checkpoint.rowsParked,
    rowsEstimate: table.source.rowsEstimate,
    rowsPerSecond: rate.perSecond,
    etaMs: checkpoint.state === 'done' ? 0 : etaMs(table.source.rowsEstimate, checkpoint.rowsRead, rate),
  });

  try {
    yield { kind: checkpoint.lastKey === null ? 'begun' : 'resumed', ...progress() };
    while (checkpoint.state === 'running') {
      if (signal?.aborted) {
        await settle();
        yield { kind: 'stopped', ...progress() };
        return;
      }
      try {
        // It is in the same transactions as the rows: after a failure it knows what has been committed.
        if (outage !== null && run === null) checkpoint = (await readCheckpoint(target, name)) ?? checkpoint;
        run ??= createRun(checkpoint);
        // After a conflict one goes alone, or the same two might meet again.
        if (!run.ended && run.underWay.length < (outage === null ? writers : 1)) {
          const verdict = await askAll(throttles);
          if (verdict.kind === 'go') begin(run, await run.ahead);
          else {
            yield { kind: 'waiting', reason: verdict.reason, ...progress() };
            await pause(verdict.waitMs, signal);
          }
          continue;
        }
        const [first] = run.underWay;
        if (first === undefined) {
          checkpoint = await finish();
          continue;
        }
        const { checkpoint: next, tookMs } = await first.written;
        run.underWay.shift();
        const { rows, bytes } = first.chunk;
        taken = { rows: rows.length, bytes, tookMs };
        const nowMs = performance.now();
        rate = addToRate(rate, rows.length, nowMs - committedAtMs);
        committedAtMs = nowMs;
        const parked = next.rowsParked > checkpoint.rowsParked;
        checkpoint = next;
        outage = null;
        if (parked) await applier.retryParked();
        yield { kind: 'chunk', ...progress() };
      } catch (error) {
        await settle();
        const conflict = pass.isStale(error) ? 'fence-pass' : conflictOf(error);
        if (!(error instanceof CommitOutcomeUnknown) && conflict === undefined && !isServerAway(error)) throw error;
        outage ??= { sinceMs: performance.now(), delayMs: undefined };
        if (performance.now() - outage.sinceMs > maxOutageMs) throw error;
        outage.delayMs = nextBackoffMs(outage.delayMs, { baseMs: conflict === undefined ? 50 : 5, capMs: 2000 });
        if (conflict === undefined) {
          log.warn({ table: name, err: error }, 'a chunk is tried again');
          yield { kind: 'waiting', reason: `${(error as Error).message}`, ...progress() };
        }
        await pause(outage.delayMs, signal);
      }
    }
    yield { kind: 'done', ...progress() };
  } finally {
    await settle();
  }
}

const isFull = (chunk: Chunk): chunk is FullChunk => chunk.lastKey !== null;
