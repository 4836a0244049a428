import type { Side } from '../decide/decision.ts';

/** One process that can answer: the monolith, or one instance of a service. */
export type Instance = {
  /** Unique among all instances: the Consul service id, or the origin itself. */
  id: string;
  side: Side;
  /** The service's name in Consul, or `monolith`. */
  service: string;
  /** `http://127.0.0.1:3101`, without a trailing slash. */
  origin: string;
};

/** How one attempt at an instance ended, told back to the pool that lent it. */
export type Outcome =
  | { kind: 'answered'; status: number; latencyMs: number }
  | { kind: 'failed'; cause: FailureCause; latencyMs: number }
  | { kind: 'client-aborted'; latencyMs: number };

export type FailureCause = 'connect' | 'reset' | 'timeout' | 'bad-response';

/** A loan of one instance for one attempt; `release` must be called exactly once. */
export type Lease = { kind: 'leased'; instance: Instance; release(outcome: Outcome): void };

/** No instance can be lent, and why. */
export type Refusal = { kind: 'refused'; why: 'no-instances' | 'all-ejected' | 'circuit-open' | 'bulkhead-full' };

/** The instances of one service, or of the monolith. */
export type Upstream = {
  readonly name: string;
  /** Picks the less loaded of two healthy instances, none of `exclude` (instance ids that this request has tried). */
  acquire(exclude?: ReadonlySet<string>): Lease | Refusal;
  close(): void;
};

/** Finds the upstream of a service by its Consul name; undefined where the service has never been seen. */
export type Upstreams = {
  monolith(): Upstream;
  service(name: string): Upstream | undefined;
};
