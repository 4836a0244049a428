import { Counter, type Registry } from 'prom-client';
import type { Difference } from '../compare/compare-answers.ts';
import type { Log } from '../log.ts';
import type { Redis } from '../redis.ts';
import { addToBatch, type BatchBounds, emptyBatch, packBatch, type SliceBatch } from './batch.ts';
import { groupId, type RecordedComparison } from './entry.ts';
import { batchMemoryMs, defaultStoreBounds, keepScript, type StoreBounds, sliceKeys } from './keep.ts';
import { createReportReader, type ReportReader } from './read-report.ts';

/**
 * What was compared and what came of it, in Redis: counts by cell, differences by group, a few redacted examples of each.
 * Many processes write to one report and their counts add up. Everything is bounded; nothing here ever throws because Redis
 * is away.
 */
export type ShadowReport = ReportReader & {
  /** Takes a comparison; it is written with others, within `flushMs`. */
  record(comparison: RecordedComparison): void;
  /** Whether all of these differences are in groups that somebody has accepted, as far as this process knows. */
  accepts(slice: string, endpoint: string, differences: readonly Difference[]): boolean;
  /** Writes what is held now; false: Redis was away, and it is still held. */
  flush(): Promise<boolean>;
  lost(): Readonly<Record<Loss, number>>;
  /** Writes once more and ends the timer; Redis is the caller's. */
  close(): Promise<void>;
};

/**
 * What could not be kept: a cell or an example for which there was no room; a batch that Redis refused for good; what came
 * before somebody had the report begin anew.
 */
export type Loss = 'cell' | 'example' | 'batch' | 'too-old';

export type ReportBounds = StoreBounds & {
  /** Held in this process, of each slice. */
  held: BatchBounds;
  /** Slices that this process holds something of. */
  maxSlices: number;
  /** An example of a group is offered to Redis once in so long by this process. */
  exampleEveryMs: number;
  flushMs: number;
};

export const defaultReportBounds: ReportBounds = {
  ...defaultStoreBounds,
  held: { maxCells: 2_000, maxGroups: 200, maxExamples: 20, maxExampleBytes: 64 * 1024 },
  maxSlices: 100,
  exampleEveryMs: 5_000,
  flushMs: 500,
};

export const defaultReportPrefix = 'strangler:shadow:';

export type ShadowReportOptions = {
  redis: Redis;
  log: Log;
  /** Before every key. */
  prefix?: string;
  bounds?: Partial<ReportBounds>;
  /** Registers `shadow_report_lost_total{what}`. */
  registry?: Registry;
};

type Held = {
  pending: SliceBatch;
  /** Sent, and not known to have arrived: it is sent again as it is, before anything else. */
  sending: { batch: SliceBatch; since: number } | null;
  accepted: Set<string>;
  /** Requests from before it are not counted: somebody has had the report begin anew then. */
  sinceMs: number;
};

/** What became of a batch; ids of accepted groups; since when requests are counted. */
type KeptBatch = { outcome: 'kept' | 'too old'; sinceMs: number; accepted: string[] };

export const createShadowReport = ({
  redis,
  log,
  prefix = defaultReportPrefix,
  bounds: given = {},
  registry,
}: ShadowReportOptions): ShadowReport => {
  const bounds = { ...defaultReportBounds, ...given };
  const slices = new Map<string, Held>();
  const exampleAt = new Map<string, number>();
  const lost: Record<Loss, number> = { cell: 0, example: 0, batch: 0, 'too-old': 0 };
  const counter =
    registry &&
    new Counter({
      name: 'shadow_report_lost_total',
      help: 'What the report of compared answers had no room for: cell, example; batch: refused by Redis; too-old: from before it began anew',
      labelNames: ['what'],
      registers: [registry],
    });
  let flushing: Promise<boolean> | null = null;

  const lose = (what: Loss, count = 1): void => {
    lost[what] += count;
    counter?.inc({ what }, count);
  };

  const heldOf = (slice: string): Held | null => {
    const known = slices.get(slice);
    if (known !== undefined) return known;
    if (slices.size >= bounds.maxSlices) return null;
    const made: Held = { pending: emptyBatch(), sending: null, accepted: new Set(), sinceMs: 0 };
    slices.set(slice, made);
    return made;
  };

  /** One of its groups has had none for a while. */
  const wantsExample = (groups: readonly string[]): boolean => {
    const now = performance.now();
    const wanted = groups.some(
      (group) => now - (exampleAt.get(group) ?? Number.NEGATIVE_INFINITY) >= bounds.exampleEveryMs,
    );
    if (!wanted) return false;
    for (const group of groups) {
      exampleAt.delete(group);
      exampleAt.set(group, now);
    }
    while (exampleAt.size > bounds.maxSlices * bounds.maxGroups) exampleAt.delete(exampleAt.keys().next().value!);
    return true;
  };

  const accepts = (slice: string, endpoint: string, differences: readonly Difference[]): boolean => {
    const accepted = slices.get(slice)?.accepted;
    if (accepted === undefined || accepted.size === 0 || differences.length === 0) return false;
    return differences.every(({ path, kind }) =>
      accepted.has(groupId({ slice, endpoint, path: path.slice(0, 500), kind })),
    );
  };

  const flushSlice = async (slice: string, held: Held): Promise<boolean> => {
    for (;;) {
      if (held.sending === null) {
        if (held.pending.comparisons === 0) return true;
        held.sending = { batch: held.pending, since: performance.now() };
        held.pending = emptyBatch();
      } else if (performance.now() - held.sending.since > batchMemoryMs / 2) {
        // Whether it was written is no longer known for certain later on: rather counted as lost than twice.
        lose('batch', held.sending.batch.comparisons);
        held.sending = null;
        continue;
      }
      const { batch } = held.sending;
      const answer = await send(slice, batch);
      if (answer === undefined) return false;
      held.sending = null;
      if (answer === null) continue;
      if (answer.outcome === 'too old') lose('too-old', batch.comparisons);
      held.accepted = new Set(answer.accepted);
      held.sinceMs = answer.sinceMs;
    }
  };

  /** What Redis said; undefined: it is away; null: it will never take this. */
  const send = async (slice: string, batch: SliceBatch): Promise<KeptBatch | undefined | null> => {
    try {
      const answer = await redis.run(
        async (client) =>
          (await client.eval(keepScript, {
            keys: [sliceKeys(prefix, slice).base],
            arguments: [
              packBatch(batch),
              bounds.maxCells,
              bounds.maxGroups,
              bounds.maxExamplesPerGroup,
              bounds.maxExampleBytes,
              bounds.ttlMs,
              batchMemoryMs,
            ].map(String),
          })) as [KeptBatch['outcome'], string, string[]],
      );
      if (answer === undefined) return undefined;
      const [outcome, since, accepted] = answer;
      return { outcome, sinceMs: Number(since), accepted };
    } catch (error) {
      log.warn({ err: error, slice }, 'Redis refuses a batch of compared answers; it is dropped');
      lose('batch', batch.comparisons);
      return null;
    }
  };

  const flushAll = async (): Promise<boolean> => {
    let arrived = true;
    for (const [slice, held] of slices) arrived = (await flushSlice(slice, held)) && arrived;
    return arrived;
  };

  const flush = (): Promise<boolean> => {
    flushing ??= flushAll().finally(() => {
      flushing = null;
    });
    return flushing;
  };

  const timer = setInterval(() => void flush(), bounds.flushMs);
  timer.unref();

  return {
    ...createReportReader({ redis, prefix }),
    record(comparison) {
      const held = heldOf(comparison.slice);
      if (held === null) {
        lose('cell');
        return;
      }
      if (comparison.at.getTime() < held.sinceMs) {
        lose('too-old');
        return;
      }
      const { slice, endpoint, differences } = comparison;
      const isAccepted = comparison.outcome === 'different' && accepts(slice, endpoint, differences);
      const outcome = isAccepted ? 'accepted' : comparison.outcome;
      const { lostCell, lostExample } = addToBatch(held.pending, comparison, outcome, bounds.held, wantsExample);
      if (lostCell) lose('cell');
      if (lostExample) lose('example');
    },
    accepts,
    flush,
    lost: () => ({ ...lost }),
    async close() {
      clearInterval(timer);
      await flush();
    },
  };
};
