import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { Pool } from 'mysql2/promise';
import type { MappedTable } from '../apply/row-shape.ts';
import type { KeyPlace } from '../backfill/key-range.ts';
import { addToRate, etaMs, nextChunkRows, noRate } from '../backfill/pace.ts';
import { askAll, type Throttle } from '../backfill/throttle.ts';
import { compareKeys, compareRange } from './compare-chunk.ts';
import { createLooks } from './look.ts';
import { createSourceSide, createTargetSide, ordersAgree } from './side.ts';
import { createSuspects, lookedAtOnce, type SuspectEvent } from './suspects.ts';

export type { RowDifference } from './suspects.ts';

export type VerifyOptions = {
  table: MappedTable;
  /** Both read only: made by `createReadPool`. */
  source: Pool;
  target: Pool;
  /** Rows of one chunk, 20 000 unless told, and how long the checksum of one should take, 250 ms. */
  limits?: { maxRows?: number; goalMs?: number };
  /** Asked before each chunk. */
  throttles?: readonly Throttle[];
  /** How long a row may be behind before it is told as unsettled, 10 s unless told. */
  patienceMs?: number;
  /** Rows that may be looked at again at a time, 2000 unless told. */
  maxSuspects?: number;
  /** So many differences are told, 1000 unless told; with one more the comparison ends, for it has failed. */
  maxDifferences?: number;
  signal?: AbortSignal;
};

export type VerifyTotals = {
  table: string;
  rowsCompared: number;
  rowsEstimate: number;
  rowsPerSecond: number;
  etaMs: number | null;
  differences: number;
  /** Rows that never were at one version on both sides while they were looked at. */
  unsettled: number;
  /** Rows that were looked at one by one, because of a change under way or a difference. */
  looked: number;
};

export type VerifyEvent =
  | ({ kind: 'begun' | 'chunk' | 'stopped' } & VerifyTotals)
  | ({ kind: 'waiting'; reason: string } & VerifyTotals)
  | SuspectEvent
  /** `complete`: every row was compared. Equal are the tables if it is, with no differences and nothing unsettled. */
  | ({ kind: 'done'; complete: boolean } & VerifyTotals);

const defaults = { maxRows: 20_000, goalMs: 250 };

/**
 * Compares all rows of one table while writes go on: by chunks, whose checksums both servers compute; what differs, row
 * by row and version by version, until it is the same, proven different, or has been behind for too long.
 */
export async function* verifyTable(options: VerifyOptions): AsyncGenerator<VerifyEvent, void, void> {
  const { table, source, target, throttles = [], signal } = options;
  const { patienceMs = 10_000, maxSuspects = 2000, maxDifferences = 1000 } = options;
  const limits = { minRows: 500, maxBytes: Number.POSITIVE_INFINITY, ...defaults, ...options.limits };
  const sides = { source: createSourceSide(table, source), target: createTargetSide(table, target) };
  const looks = createLooks(table, source, target);
  const suspects = createSuspects({ mapping: table.mapping, looks, patienceMs });
  let rate = noRate;
  let rowsCompared = 0;
  let last: { rows: number; bytes: number; tookMs: number } | null = null;

  const totals = (): VerifyTotals => ({
    table: table.mapping.target,
    rowsCompared,
    rowsEstimate: table.source.rowsEstimate,
    rowsPerSecond: rate.perSecond,
    etaMs: etaMs(table.source.rowsEstimate, rowsCompared, rate),
    ...suspects.totals(),
  });

  /** Where the next chunk ends, which is looked for while one is compared. */
  let ahead: { after: KeyPlace; upTo: Promise<KeyPlace | null> } | null = null;

  const endOf = (after: KeyPlace | null, rows: number): Promise<KeyPlace | null> => {
    const found = sides.source.keyAt({ after, upTo: null }, rows);
    // Awaited later, or not at all.
    found.catch(() => {});
    return found;
  };
  /** Compares what comes after a key; gives where the next chunk begins, or null after the last. */
  const byRange = async (after: KeyPlace | null, maxRows: number) => {
    const upTo = await (ahead !== null && ahead.after === after ? ahead.upTo : endOf(after, maxRows));
    ahead = upTo === null ? null : { after: upTo, upTo: endOf(upTo, maxRows) };
    return { ...(await compareRange(sides.source, sides.target, { after, upTo })), next: upTo };
  };
  // Without a common order: what the source has, and then what only the target has.
  const passes = ordersAgree(table)
    ? [byRange]
    : [
        (after: KeyPlace | null, maxRows: number) =>
          compareKeys(sides.source, sides.target, after, Math.min(maxRows, 1000), 'all'),
        async (after: KeyPlace | null, maxRows: number) => ({
          ...(await compareKeys(sides.target, sides.source, after, Math.min(maxRows, 1000), 'missing')),
          rows: 0,
        }),
      ];

  yield { kind: 'begun', ...totals() };
  for (const pass of passes) {
    let after: KeyPlace | null = null;
    for (;;) {
      if (signal?.aborted) {
        yield { kind: 'stopped', ...totals() };
        return;
      }
      const verdict = await askAll(throttles);
      if (verdict.kind === 'wait') {
        yield { kind: 'waiting', reason: verdict.reason, ...totals() };
        await pause(verdict.waitMs, signal);
        continue;
      }
      const startedAt = performance.now();
      const found = await pass(after, nextChunkRows(last, limits));
      const tookMs = performance.now() - startedAt;
      last = { rows: found.rows, bytes: 0, tookMs };
      rate = addToRate(rate, found.rows, tookMs);
      rowsCompared += found.rows;
      after = found.next;
      yield { kind: 'chunk', ...totals() };
      for (let from = 0; from < found.suspects.length; from += lookedAtOnce) {
        suspects.add(found.suspects.slice(from, from + lookedAtOnce));
        do {
          yield* await suspects.look();
          if (suspects.totals().differences > maxDifferences) {
            yield { kind: 'done', complete: false, ...totals() };
            return;
          }
          // So many at once are not changes under way; or the pipe stands still.
        } while (suspects.count() >= maxSuspects && (await pause(50, signal)) === 'elapsed');
      }
      yield* await suspects.look();
      if (after === null) break;
    }
  }
  let delayMs: number | undefined;
  while (suspects.count() > 0 && !signal?.aborted) {
    // Few rows are looked at often, so that a busy one is met before it is written again.
    const capMs = suspects.count() > lookedAtOnce ? 250 : 25;
    delayMs = nextBackoffMs(delayMs, { baseMs: 10, capMs });
    await pause(delayMs, signal);
    yield* await suspects.look();
  }
  yield signal?.aborted ? { kind: 'stopped', ...totals() } : { kind: 'done', complete: true, ...totals() };
}

export type ContinuousOptions = Omit<VerifyOptions, 'table'> & {
  tables: readonly MappedTable[];
  /** Between two rounds, 30 s unless told. */
  pauseMs?: number;
};

/** Compares table after table, round after round, until the signal is given. Each event is that of one table. */
export async function* verifyContinuously(options: ContinuousOptions): AsyncGenerator<VerifyEvent, void, void> {
  const { tables, pauseMs = 30_000, ...rest } = options;
  while (!options.signal?.aborted) {
    for (const table of tables) {
      if (options.signal?.aborted) return;
      yield* verifyTable({ ...rest, table });
    }
    await pause(pauseMs, options.signal);
  }
}
