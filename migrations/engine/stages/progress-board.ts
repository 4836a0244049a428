import type { Kv } from '@strangler/platform/consul/kv.ts';
import type { Log } from '@strangler/platform/log.ts';
import { z } from 'zod';
import type { StageEvent } from './stage-work.ts';

const tableProgress = z.object({
  work: z.enum(['backfill', 'verify']),
  state: z.enum(['running', 'waiting', 'stopped', 'done']),
  rows: z.int().min(0),
  rowsEstimate: z.int().min(0),
  rowsPerSecond: z.number(),
  etaMs: z.number().nullable(),
  /** Of `verify`: rows proven different so far. */
  differences: z.int().min(0).optional(),
  /** When it was so, ISO 8601. */
  at: z.iso.datetime(),
});

const sliceProgress = z.object({ slice: z.string(), tables: z.record(z.string(), tableProgress) });

/** How far long work on a slice has come, for whoever cannot look into the databases; these are what is right. */
export type SliceProgress = z.infer<typeof sliceProgress>;
export type TableProgress = z.infer<typeof tableProgress>;

/** Where in Consul it stands. */
export const progressKey = (slice: string): string => `strangler/progress/${slice}`;

/** The progress of a slice after one more event; the same object where the event tells of none. */
export const progressAfter = (progress: SliceProgress, event: StageEvent, at: Date): SliceProgress => {
  if (event.kind !== 'backfill' && event.kind !== 'verify') return progress;
  const { kind: work, event: told } = event;
  if (told.kind === 'difference' || told.kind === 'unsettled') return progress;
  const rows = 'rowsRead' in told ? told.rowsRead : told.rowsCompared;
  const state = told.kind === 'done' || told.kind === 'stopped' || told.kind === 'waiting' ? told.kind : 'running';
  const { rowsEstimate, rowsPerSecond, etaMs } = told;
  const table: TableProgress = {
    ...{ work, state, rows, rowsEstimate, rowsPerSecond: Math.round(rowsPerSecond), etaMs, at: at.toISOString() },
    ...('differences' in told ? { differences: told.differences } : {}),
  };
  return { ...progress, tables: { ...progress.tables, [told.table]: table } };
};

export type ProgressBoard = {
  note(event: StageEvent): void;
  /** Resolves when the last that was noted stands there, or could not be put there. */
  close(): Promise<void>;
};

/** Puts progress up in Consul, once a second at most. That it cannot be put there stops nothing, and is logged. */
export const createProgressBoard = (kv: Pick<Kv, 'put'>, slice: string, log: Log, everyMs = 1_000): ProgressBoard => {
  let progress: SliceProgress = { slice, tables: {} };
  let shown = progress;
  let writing: Promise<void> | undefined;
  let wroteAtMs = Number.NEGATIVE_INFINITY;

  const write = async (): Promise<void> => {
    shown = progress;
    wroteAtMs = performance.now();
    await kv
      .put(progressKey(slice), JSON.stringify(progress))
      .catch((error: unknown) => log.warn({ err: error }, 'progress could not be put up in Consul'));
  };

  return {
    note(event) {
      progress = progressAfter(progress, event, new Date());
      if (progress === shown || writing !== undefined || performance.now() - wroteAtMs < everyMs) return;
      writing = write().finally(() => {
        writing = undefined;
      });
    },
    async close() {
      await writing;
      if (progress !== shown) await write();
    },
  };
};

/** The progress that stands in Consul; undefined where there is none, or none that can be read. */
export const readProgress = async (kv: Pick<Kv, 'get'>, slice: string): Promise<SliceProgress | undefined> => {
  const entry = await kv.get(progressKey(slice));
  if (entry === undefined) return undefined;
  try {
    return sliceProgress.safeParse(JSON.parse(entry.value)).data;
  } catch {
    return undefined;
  }
};
