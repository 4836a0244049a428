import { z } from 'zod';
import { stages } from './flag-document.ts';

/**
 * What only the data mover can measure of a slice, because only it has the databases' credentials. `strangler publish` puts
 * it in Consul for whoever looks on; the databases and the broker are what is right.
 */
export const figuresKeys = (root = 'strangler') => ({
  all: `${root}/figures/`,
  slice: (slice: string): string => `${root}/figures/${slice}`,
});

const count = z.int().min(0);
const fence = z.object({ state: z.string(), epoch: z.number(), owner: z.string().nullable() }).nullable();

/** One condition of a stage change. `todo` opens it; null where it is open. */
const gate = z.object({
  gate: z.string(),
  state: z.enum(['open', 'shut']),
  found: z.string(),
  bound: z.string(),
  todo: z.string().nullable(),
});

const table = z.object({
  table: z.string(),
  backfill: z.object({ state: z.enum(['done', 'running', 'not begun']), rowsRead: count }),
  /** Changes that wait for a unique value. */
  parked: count,
  lastVerified: z
    .object({ rowsCompared: count, differences: count, unsettled: count, finishedAt: z.iso.datetime() })
    .nullable(),
});

const writer = z.object({
  user: z.string(),
  host: z.string(),
  request: z.string().nullable(),
  tables: z.array(z.string()),
  changes: count,
  lastAt: z.string(),
});

export const measuredSchema = z.object({
  gates: z.object({ into: z.enum(stages), verdicts: z.array(gate) }).nullable(),
  /** From the owner of the writes to the other side. */
  direction: z.enum(['forward', 'reverse']),
  /** Null where no pipe is installed. */
  pipe: z
    .object({
      lagMs: z.number(),
      unpublished: count,
      unapplied: count,
      queues: z.object({ consumed: count, of: count }),
      deadLetters: count,
      tables: z.array(table),
    })
    .nullable(),
  /** Whether going back would be quick; null where there is none to go back to. */
  wayBack: z.object({ safe: z.boolean(), lagMs: z.number(), boundMs: z.number() }).nullable(),
  fences: z.object({ monolith: fence, service: fence }),
  /** Who was seen to write the slice's tables, of the newest changes; null where nothing captures them. */
  writers: z.array(writer).nullable(),
});

/** What stands at `<root>/figures/<slice>`. */
export const sliceFiguresSchema = z.object({
  slice: z.string(),
  at: z.iso.datetime(),
  /** How often they are put there. */
  everyMs: z.number().positive(),
  /** Who measured: host and process. */
  by: z.string(),
  /** Null where measuring failed; `failure` then says why. */
  measured: measuredSchema.nullable(),
  failure: z.string().nullable(),
  /** Whether the same process carries out orders. */
  takesOrders: z.boolean(),
});

export type SliceFigures = z.infer<typeof sliceFiguresSchema>;
export type Measured = z.infer<typeof measuredSchema>;
