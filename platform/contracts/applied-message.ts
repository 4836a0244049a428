import { z } from 'zod';
import { type RowOp, type RowVersion, rowMessageSchema, rowOps, topicWord } from './row-message.ts';

/**
 * Tells that changes of one table are in the service's database now. It comes after their commit, at least once, in no
 * order, and also for changes that were there before: whoever listens drops what it has derived from these rows.
 */
export type AppliedMessage = {
  slice: string;
  /** The source table. */
  table: string;
  /** The target table. */
  target: string;
  /** When it was said, after the commit: ISO 8601, UTC. */
  appliedAt: string;
  /** `table`: any row may have been changed, as by a copy, and none is named. */
  extent: (typeof appliedExtents)[number];
  /** 1 to `maxAppliedChanges`; none where the extent is the table. */
  changes: AppliedChange[];
};

export const appliedExtents = ['changes', 'table'] as const;

/** One change; the target holds it or a newer one of the same row. */
export type AppliedChange = {
  /** The source's primary key column → encoded value, in the order of the key. */
  key: Record<string, string>;
  keyText: string;
  op: RowOp;
  version: RowVersion;
  /** When the writer's statement began in the source, UTC: ISO 8601 with microseconds. */
  at: string;
};

/** Changes that one message tells of at most. */
export const maxAppliedChanges = 500;

/** The topic exchange on which appliers tell what they have applied, beside the one that relays publish to. */
export const appliedExchange = (exchange: string): string => `${exchange}.applied`;

/** Of the messages of one source table; `appliedPattern` is for all tables of a slice. */
export const appliedRoutingKey = (slice: string, table: string): string => `${slice}.${topicWord(table)}`;

export const appliedPattern = (slice: string): string => `${slice}.*`;

const { slice, table, key, keyText, version, at } = rowMessageSchema.shape;

// Unknown members are passed over: an applier may be newer than those who listen to it.
export const appliedMessageSchema = z
  .object({
    slice,
    table,
    target: z.string().min(1).max(64),
    appliedAt: z.iso.datetime(),
    // An older applier does not say it.
    extent: z.enum(appliedExtents).default('changes'),
    changes: z.array(z.object({ key, keyText, op: z.enum(rowOps), version, at })).max(maxAppliedChanges),
  })
  .refine(({ extent, changes }) => (extent === 'table') === (changes.length === 0), {
    path: ['changes'],
    message: 'expected changes where the extent is changes, and none where it is the table',
  });

/** A message that does not tell what was applied; the message names where it came from and every fault. */
export class AppliedMessageError extends Error {
  override name = 'AppliedMessageError';
}

export const formatAppliedMessage = (message: AppliedMessage): string => JSON.stringify(message);

/**
 * Reads such a message from its JSON text.
 * @throws AppliedMessageError naming `origin` and every fault found.
 */
export const parseAppliedMessage = (text: string, origin: string): AppliedMessage => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AppliedMessageError(`${origin}: expected a JSON message, found text that is not JSON`, { cause });
  }
  const parsed = appliedMessageSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'message'}: ${issue.message}`);
  throw new AppliedMessageError(`${origin}: ${faults.join('; ')}`);
};
