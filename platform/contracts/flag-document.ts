import { z } from 'zod';

/** Where a slice stands on its way out of the monolith, in order. */
export const stages = ['monolith', 'sync', 'shadow', 'canary', 'reads', 'writes', 'complete'] as const;
export type Stage = (typeof stages)[number];

export const sides = ['monolith', 'service'] as const;

/** The smallest step of a percentage: a hundredth of a percent. */
export const bucketsPerPercent = 100;
export const bucketCount = 100 * bucketsPerPercent;

const name = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[a-z][a-z0-9-]*$/, 'must be lower-case letters, digits and hyphens, starting with a letter');

const cohortCondition = z.union([
  z.strictObject({ header: z.string().min(1).max(100), equals: z.string().max(200) }),
  z.strictObject({ cookie: z.string().min(1).max(100), equals: z.string().max(200) }),
  /** Sticky keys, as `stickyBy` finds them: for `jwt.sub` the account's id. */
  z.strictObject({ users: z.array(z.string().min(1).max(200)).min(1).max(10_000) }),
]);

const cohort = z.strictObject({ name, when: cohortCondition, side: z.enum(sides) });

export const percentage = z
  .number()
  .min(0)
  .max(100)
  .refine((value) => Number.isInteger(Math.round(value * 1e6) / (1e6 / bucketsPerPercent)), {
    message: 'must be a percentage with at most two decimals',
  });

const reads = z.strictObject({
  /** Share of sticky keys whose reads the service answers, in percent, with at most two decimals. */
  percent: percentage,
  /** Looked at in order, before the percentage; the first that matches decides. */
  cohorts: z.array(cohort).max(100).default([]),
});

const writes = z.discriminatedUnion('owner', [
  z.strictObject({ owner: z.literal('monolith') }),
  z.strictObject({ owner: z.literal('service') }),
  z.strictObject({
    owner: z.literal('held'),
    from: z.enum(sides),
    to: z.enum(sides),
    /** After this instant a held write is answered 503 and waits no more. */
    deadline: z.iso.datetime(),
  }),
]);

const shadow = z.strictObject({
  /** Scales every share that the slice file has compared, in percent: 0 compares nothing. */
  percent: percentage,
});

const change = z.strictObject({
  /** Names this change and no other, so that an unknown outcome can be read back. */
  id: z.string().min(1).max(64),
  by: z.string().min(1).max(200),
  at: z.iso.datetime(),
  reason: z.string().max(1000),
});

export const flagDocumentSchema = z
  .strictObject({
    slice: name,
    stage: z.enum(stages),
    reads,
    writes,
    /** Without it as much is compared as the slice file says. */
    shadow: shadow.optional(),
    /** Grows with each change of the owner of the slice's writes; a write sent under an older one is refused. */
    epoch: z.int().min(1),
    /** Who made the last change, when and why. */
    change,
  })
  .superRefine((document, context) => {
    const { writes, reads } = document;
    if (writes.owner === 'held' && writes.from === writes.to) {
      context.addIssue({ code: 'custom', path: ['writes', 'to'], message: 'must differ from writes.from' });
    }
    if (writes.owner === 'service' && reads.percent !== 100) {
      // The monolith's copy is the one that lags once the service takes the writes: a read there could be stale.
      context.addIssue({
        code: 'custom',
        path: ['reads', 'percent'],
        message: 'must be 100 while the service owns the writes',
      });
    }
  });

export type FlagDocument = z.infer<typeof flagDocumentSchema>;
export type Cohort = z.infer<typeof cohort>;
export type ReadFlag = z.infer<typeof reads>;
export type WriteOwner = z.infer<typeof writes>;
export type Change = z.infer<typeof change>;

/** A flag document that cannot be obeyed; the message names every fault. */
export class FlagDocumentError extends Error {
  override name = 'FlagDocumentError';
}

/**
 * Reads a flag document from its JSON text.
 * @throws FlagDocumentError naming where it came from and every fault found.
 */
export const parseFlagDocument = (text: string, origin: string): FlagDocument => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FlagDocumentError(`${origin}: expected a JSON flag document, found ${excerpt(text)}`, { cause });
  }
  const parsed = flagDocumentSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'document'}: ${issue.message}`);
  throw new FlagDocumentError(`${origin}: ${faults.join('; ')}`);
};

export const formatFlagDocument = (document: FlagDocument): string => JSON.stringify(document);

/** The document of a slice of which nothing has been said: everything on the monolith. */
export const initialFlagDocument = (slice: string, change: Change): FlagDocument => ({
  slice,
  stage: 'monolith',
  reads: { percent: 0, cohorts: [] },
  writes: { owner: 'monolith' },
  epoch: 1,
  change,
});

const excerpt = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
