import type { Side } from '../decide/decision.ts';
import type { Repeatability } from './balance.ts';

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

/** A loan of one instance for one attempt; `release` must be called exactly once: a second call is ignored and reported. */
export type Lease = { kind: 'leased'; instance: Instance; release(outcome: Outcome): void };

/**
 * No instance can be lent, and why. `all-tried`: each one that there is stands in `exclude`; `all-ejected`: those that
 * do not are left out for their failures.
 */
export type Refusal = { kind: 'refused'; why: RefusalReason };

export type RefusalReason = 'no-instances' | 'all-tried' | 'all-ejected' | 'circuit-open' | 'bulkhead-full';

/** Which instances will do: those whose checks pass, or any where there is none of those. */
export type Resort = 'passing' | 'any';

/** The instances of one service, or of the monolith. */
export type Upstream = {
  readonly name: string;
  /**
   * Picks the less loaded of two healthy instances, none of `exclude` (instance ids that this request has tried).
   * An ejected instance is tried with one request when its time has come; say `once` for a request that cannot be sent
   * again when that fails (a write), and it is spared this while there is a healthy instance. Default `repeatable`.
   * With `any` as its `resort` (default `passing`) it may be an instance whose checks fail, where no check passes: for a
   * request that nobody else can answer.
   */
  acquire(exclude?: ReadonlySet<string>, repeatability?: Repeatability, resort?: Resort): Lease | Refusal;
  status(): UpstreamStatus;
  /** Lends nothing more; leases that are out end as usual. */
  close(): void;
};

/** Finds the upstream of a service by its Consul name; undefined where the service has never been seen. */
export type Upstreams = {
  monolith(): Upstream;
  service(name: string): Upstream | undefined;
};

export type UpstreamStatus = {
  name: string;
  circuit: 'closed' | 'open' | 'half-open';
  /** Leases out over all instances, those that are draining included. */
  inFlight: number;
  maxConcurrent: number;
  instances: InstanceStatus[];
};

export type InstanceStatus = {
  id: string;
  origin: string;
  /** `critical`: its checks fail. `draining`: gone from discovery, and still answering what it was sent. */
  state: 'healthy' | 'ejected' | 'probing' | 'critical' | 'draining';
  outstanding: number;
  /** Failed attempts since the instance joined. */
  failures: number;
  /** ISO 8601; null unless it is ejected. */
  ejectedUntil: string | null;
  /** Exponentially weighted mean of the time an answer took; null before the first one. */
  latencyEwmaMs: number | null;
};

/** What happens in the upstreams, told as it happens, for metrics and the log. */
export type UpstreamEvent =
  | { kind: 'joined' | 'left' | 'returned'; upstream: string; instance: string }
  | { kind: 'ejected'; upstream: string; instance: string; forMs: number; cause: EjectionCause }
  | { kind: 'opened' | 'half-opened' | 'closed'; upstream: string }
  | { kind: 'refused'; upstream: string; why: RefusalReason }
  /** A request was sent to an instance whose checks fail, for want of another. */
  | { kind: 'lent-critical'; upstream: string; instance: string }
  /** A lease was released a second time: a defect in the caller. */
  | { kind: 'released-twice'; upstream: string; instance: string };

/** What the failure was that ejected an instance: no whole answer, or one that says the instance cannot serve. */
export type EjectionCause = FailureCause | 'status-502' | 'status-503' | 'status-504';
