import { z } from 'zod';
import { canaryStandingSchema } from './canary.ts';

/** The name under which every proxy registers in Consul; its `meta.admin` is the address of its admin port. */
export const proxyServiceName = 'strangler-proxy';

/** Where a proxy's admin port tells its status. */
export const proxyStatusPath = '/admin/status';

const obeyedFlag = z.object({
  slice: z.string(),
  /** The flag document's last change, by its id: what this worker obeys. */
  changeId: z.string(),
  /** When this worker began to obey it, in milliseconds since the epoch, with fractions. */
  inForceAtMs: z.number(),
});

const instance = z.object({
  id: z.string(),
  origin: z.string(),
  state: z.enum(['healthy', 'ejected', 'probing', 'critical', 'draining']),
  outstanding: z.number(),
  failures: z.number(),
  ejectedUntil: z.string().nullable(),
  latencyEwmaMs: z.number().nullable(),
});

const upstream = z.object({
  name: z.string(),
  circuit: z.enum(['closed', 'open', 'half-open']),
  inFlight: z.number(),
  maxConcurrent: z.number(),
  instances: z.array(instance),
});

const sliceWrites = z.object({
  slice: z.string(),
  /** Of the flag document that is obeyed. */
  epoch: z.number().nullable(),
  /**
   * `open`: writes pass. `cut-over`: they wait for the flag. `cut-off`: they wait because what is obeyed may be over.
   * `releasing`: those that waited are being sent, a few at a time.
   */
  gate: z.enum(['open', 'cut-over', 'cut-off', 'releasing']),
  deadline: z.string().nullable(),
  /** Writes that wait. */
  heldNow: z.number(),
  /** Writes that were sent and are not over, by the side and the epoch that they were sent to and under. */
  inFlight: z.array(
    z.object({ side: z.enum(['monolith', 'service']), epoch: z.number().nullable(), writes: z.number() }),
  ),
  /** Of those the one that was sent first: by method and route, and how long ago. */
  oldest: z.object({ route: z.string(), forMs: z.number() }).nullable().optional(),
  /** Of those that ended within the last ten minutes or so the one that took longest. */
  slowest: z.object({ route: z.string(), tookMs: z.number() }).nullable().optional(),
  /** The hold, by its change's id, that this worker obeys with none of its own writes under way; else null. */
  acknowledged: z.string().nullable(),
});

const shadowMinute = z.object({
  slice: z.string(),
  /** Comparisons of the last minute by how they ended: `same`, `lag`, `different`, … */
  outcomes: z.record(z.string(), z.number()),
  /** Samples of the last minute that were not compared, by why. */
  dropped: z.record(z.string(), z.number()),
});

const requests = z.object({ monolith: z.number(), service: z.number(), failed: z.number() });

/** Requests of one slice that are over, since the worker started, by the side asked last; `failed` is of either. */
const sliceTraffic = z.object({ slice: z.string(), reads: requests, writes: requests });

const worker = z.object({
  worker: z.number(),
  pid: z.number(),
  /** Where its flags came from: the store, or what was last known on disk while the store is away. */
  flagSource: z.enum(['nowhere', 'disk', 'store']),
  flags: z.array(obeyedFlag),
  upstreams: z.array(upstream),
  inFlight: z.number(),
  writes: z.array(sliceWrites).optional(),
  /** Of the slices whose answers are compared. */
  shadow: z.array(shadowMinute).optional(),
  traffic: z.array(sliceTraffic).optional(),
});

export const proxyStatusSchema = z.object({
  id: z.string(),
  slices: z.array(z.object({ slice: z.string(), service: z.string() })),
  workers: z.array(worker),
  /** How Consul knows this proxy: `none` where flags are not in Consul, `cut-off` where its session may have ended. */
  membership: z.enum(['none', 'member', 'cut-off']).optional(),
  /** Holds that all workers have acknowledged. */
  acknowledged: z.array(z.object({ slice: z.string(), epoch: z.number(), changeId: z.string() })).optional(),
  /** Slices at stage `canary`, whether this proxy steers them, and where they stand; null until somebody has judged it. */
  canaries: z
    .array(z.object({ slice: z.string(), steers: z.boolean(), standing: canaryStandingSchema.nullable() }))
    .optional(),
});

export type ProxyStatus = z.infer<typeof proxyStatusSchema>;
export type WorkerStatus = z.infer<typeof worker>;
export type SliceWritesStatus = z.infer<typeof sliceWrites>;
export type ShadowMinute = z.infer<typeof shadowMinute>;
export type SliceTraffic = z.infer<typeof sliceTraffic>;
export type ObeyedFlag = z.infer<typeof obeyedFlag>;
