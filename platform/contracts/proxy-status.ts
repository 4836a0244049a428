import { z } from 'zod';

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
  state: z.enum(['healthy', 'ejected', 'probing', 'draining']),
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

const worker = z.object({
  worker: z.number(),
  pid: z.number(),
  /** Where its flags came from: the store, or what was last known on disk while the store is away. */
  flagSource: z.enum(['nowhere', 'disk', 'store']),
  flags: z.array(obeyedFlag),
  upstreams: z.array(upstream),
  inFlight: z.number(),
});

export const proxyStatusSchema = z.object({
  id: z.string(),
  slices: z.array(z.object({ slice: z.string(), service: z.string() })),
  workers: z.array(worker),
});

export type ProxyStatus = z.infer<typeof proxyStatusSchema>;
export type WorkerStatus = z.infer<typeof worker>;
export type ObeyedFlag = z.infer<typeof obeyedFlag>;
