import { z } from 'zod';

/**
 * How proxies take a slice at stage `canary` through its percentages. Each proxy puts its figures in place under its Consul
 * session, so that they go with it. One proxy at a time steers: it holds the lock, sums the figures of all, changes the flag
 * by compare-and-swap in the name of `canaryAuthor`, and says where the canary stands.
 */
export const canaryKeys = (root = 'strangler') => ({
  /** All that stands of one slice's canary. */
  slice: (slice: string): string => `${root}/canary/${slice}/`,
  /** Figures of the slice's reads, by the proxy's id. */
  reports: (slice: string): string => `${root}/canary/${slice}/proxies/`,
  report: (slice: string, id: string): string => `${root}/canary/${slice}/proxies/${id}`,
  /** The lock of the proxy that steers. */
  steering: (slice: string): string => `${root}/canary/${slice}/steering`,
  /** Where the canary stands; it outlives the proxy that wrote it. */
  standing: (slice: string): string => `${root}/canary/${slice}/standing`,
});

/** Who a flag document names as the author of a change that the canary made by itself. */
export const canaryAuthor = 'canary';

/** Latencies are counted in buckets: bucket `i` ends at `firstMs × growth ** i`, the last one has no end. */
export const latencyBuckets = { count: 66, firstMs: 0.5, growth: 1.2 } as const;

const count = z.int().min(0);

const sideFigures = z.object({
  /** Reads that asked this side. */
  requests: count,
  /** Of them, those it failed: 5xx, no connection, a broken answer, nobody there to ask; also where a retry hid it. */
  errors: count,
  /** Answers by the time until their head came: bucket and count in turn. */
  latency: z.array(count).max(2 * latencyBuckets.count),
});

const sides = z.object({
  monolith: sideFigures,
  service: sideFigures,
  /** Reads whose two answers were compared, and those of them that differed. */
  mismatches: z.object({ compared: count, different: count }).default({ compared: 0, different: 0 }),
});

/** What stands at `<root>/canary/<slice>/proxies/<proxy id>`. */
export const canaryReportSchema = z.object({
  /** `change.id` of the flag document under which the reads were decided. */
  changeId: z.string(),
  /** Grows with every report of one process. */
  seq: count,
  at: z.iso.datetime(),
  /** Sums over the last `windowMs`. */
  windowMs: z.number().positive(),
  recent: sides,
  /** Sums since that change came into force. */
  since: sides,
});
export type CanaryReport = z.infer<typeof canaryReportSchema>;
export type PackedSideFigures = z.infer<typeof sideFigures>;

/**
 * `off`: at 0 %, nothing to judge. `baking`: within its bounds so far. `waiting`: baked, but the figures do not suffice, see
 * `lacks`. `stopped`: the percentage was
 * lowered, by the canary or by hand, and goes up again only when somebody sets it. `baked`: at 100 % and good.
 */
export const canaryStates = ['off', 'baking', 'waiting', 'stopped', 'baked'] as const;
export type CanaryState = (typeof canaryStates)[number];

const perSide = <T extends z.ZodType>(value: T) => z.object({ monolith: value, service: value });

/** What stands at `<root>/canary/<slice>/standing`, written every second by the proxy that steers. */
export const canaryStandingSchema = z.object({
  slice: z.string(),
  /** `change.id` of the flag document that it speaks of. */
  changeId: z.string(),
  percent: z.number(),
  steps: z.array(z.number()),
  state: z.enum(canaryStates),
  /** In words, with the figures. */
  why: z.string(),
  /** What is missing before the next step; empty where nothing is. */
  lacks: z.array(z.string()),
  bakedMs: z.number(),
  bakeMs: z.number(),
  bakingSince: z.iso.datetime(),
  /** Percentages that were baked and found good, below the present one. */
  good: z.array(z.number()),
  /** Since the present percentage came into force. */
  samples: perSide(count),
  errors: perSide(count),
  p99Ms: perSide(z.number().nullable()),
  /** Reads that were compared, and those of them that differed; left out by proxies that do not compare. */
  mismatches: z.object({ compared: count, different: count }).optional(),
  /** The monolith's figures at the last step below 100 %, where at 100 % there is nothing else to compare with. */
  baseline: sideFigures.nullable(),
  /** The proxy that steers, by its id, and how many proxies' figures are in this. */
  steering: z.string(),
  proxies: count,
  seq: count,
  at: z.iso.datetime(),
});
export type CanaryStanding = z.infer<typeof canaryStandingSchema>;

/** Reads a value of `standing`; null where it is of no known form. */
export const parseCanaryStanding = (text: string): CanaryStanding | null => parseAs(canaryStandingSchema, text);
/** Reads a proxy's figures; null where they are of no known form. */
export const parseCanaryReport = (text: string): CanaryReport | null => parseAs(canaryReportSchema, text);

const parseAs = <T>(schema: z.ZodType<T>, text: string): T | null => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const parsed = schema.safeParse(value);
  return parsed.success ? parsed.data : null;
};
