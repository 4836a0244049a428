import type { Side } from '../decide/decision.ts';
import { chooseInstance, type Repeatability } from './balance.ts';
import { admits, closedBreaker, passBreaker, settleBreaker } from './breaker.ts';
import { emptyBulkhead, enterBulkhead, isFull, leaveBulkhead } from './bulkhead.ts';
import { advanceEjection, type EjectionState, newlyHealthy } from './ejection.ts';
import type { UpstreamPolicy } from './policy.ts';
import type {
  EjectionCause,
  Instance,
  InstanceStatus,
  Lease,
  Outcome,
  Refusal,
  RefusalReason,
  Resort,
  Upstream,
  UpstreamEvent,
} from './upstream.ts';

/** An upstream whose instances come and go. */
export type Pool = Upstream & {
  /** The instances there are now. One that is missing is lent no more and finishes what it was sent. */
  setInstances(instances: readonly PooledInstance[]): void;
};

/** One whose checks do not pass is lent only where that is asked for, and no other is left. */
export type PooledInstance = { id: string; origin: string; passing: boolean };

export type PoolOptions = {
  name: string;
  side: Side;
  policy: UpstreamPolicy;
  onEvent: (event: UpstreamEvent) => void;
  /** Milliseconds on a clock that never goes back. */
  nowMs: () => number;
  /** In [0, 1), like Math.random. */
  random: () => number;
};

type Member = {
  readonly id: string;
  readonly instance: Instance;
  readonly passing: boolean;
  readonly joinedMs: number;
  outstanding: number;
  failures: number;
  latencyEwmaMs: number | null;
  health: EjectionState;
};

/** The share of the newest answer in the mean latency: about the last ten answers count. */
const latencyWeight = 0.2;

export function createPool({ name, side, policy, onEvent, nowMs, random }: PoolOptions): Pool {
  let members: Member[] = [];
  /** Those whose checks fail. */
  let critical: Member[] = [];
  const draining = new Set<Member>();
  let breaker = closedBreaker(nowMs(), policy.breaker);
  let bulkhead = emptyBulkhead(policy.maxConcurrent);
  let closed = false;

  function refuse(why: RefusalReason): Refusal {
    onEvent({ kind: 'refused', upstream: name, why });
    return { kind: 'refused', why };
  }

  function acquire(
    exclude?: ReadonlySet<string>,
    repeatability: Repeatability = 'repeatable',
    resort: Resort = 'passing',
  ): Lease | Refusal {
    const at = nowMs();
    // A check that fails says less than a request that is answered: an instance under full load is late with both.
    const candidates = members.length === 0 && resort === 'any' ? critical : members;
    if (closed || candidates.length === 0) return refuse('no-instances');
    if (!admits(breaker, at, policy.breaker)) return refuse('circuit-open');
    if (isFull(bulkhead)) return refuse('bulkhead-full');
    const choice = chooseInstance(candidates, { exclude, repeatability, nowMs: at, policy, random });
    if (choice.kind === 'none') return refuse(choice.why);
    return lend(choice.candidate, at);
  }

  function lend(member: Member, at: number): Lease {
    setBreaker(passBreaker(breaker, at));
    bulkhead = enterBulkhead(bulkhead);
    member.outstanding += 1;
    if (!member.passing) onEvent({ kind: 'lent-critical', upstream: name, instance: member.id });
    member.health = advanceEjection(member.health, { kind: 'lent' }, at, policy.ejection);

    const healthGeneration = member.health.generation;
    const breakerGeneration = breaker.generation;
    let released = false;
    return {
      kind: 'leased',
      instance: member.instance,
      release(outcome) {
        if (released) {
          onEvent({ kind: 'released-twice', upstream: name, instance: member.id });
          return;
        }
        released = true;
        settle(member, outcome, healthGeneration, breakerGeneration);
      },
    };
  }

  function settle(member: Member, outcome: Outcome, healthGeneration: number, breakerGeneration: number): void {
    const at = nowMs();
    bulkhead = leaveBulkhead(bulkhead);
    member.outstanding -= 1;
    const cause = failureOf(outcome);
    const verdict = cause !== null ? 'failure' : outcome.kind === 'answered' ? 'success' : 'neutral';
    if (cause !== null) member.failures += 1;
    if (outcome.kind === 'answered') member.latencyEwmaMs = blend(member.latencyEwmaMs, outcome.latencyMs);

    if (draining.has(member)) {
      if (member.outstanding === 0) forget(member);
    } else {
      const before = member.health;
      member.health = advanceEjection(
        before,
        { kind: 'ended', generation: healthGeneration, verdict, mayEject: mayEject(member), jitter: random() },
        at,
        policy.ejection,
      );
      tellOfHealth(member, before, cause, at);
    }
    setBreaker(settleBreaker(breaker, { generation: breakerGeneration, verdict }, at, policy.breaker));
  }

  function mayEject(member: Member): boolean {
    if (policy.lastInstance === 'eject') return true;
    return members.some((other) => other !== member && other.health.kind === 'healthy');
  }

  function tellOfHealth(member: Member, before: EjectionState, cause: EjectionCause | null, at: number): void {
    const after = member.health;
    if (after.generation === before.generation) return;
    if (after.kind === 'healthy') {
      onEvent({ kind: 'returned', upstream: name, instance: member.id });
    } else if (after.kind === 'ejected' && cause !== null) {
      onEvent({ kind: 'ejected', upstream: name, instance: member.id, forMs: after.untilMs - at, cause });
    }
  }

  function setBreaker(after: typeof breaker): void {
    const before = breaker;
    breaker = after;
    if (before.kind === after.kind) return;
    const kind = after.kind === 'open' ? 'opened' : after.kind === 'half-open' ? 'half-opened' : 'closed';
    onEvent({ kind, upstream: name });
  }

  function forget(member: Member): void {
    draining.delete(member);
    if (member.passing) onEvent({ kind: 'left', upstream: name, instance: member.id });
  }

  function setInstances(instances: readonly PooledInstance[]): void {
    if (closed) return;
    const wanted = new Map(instances.map((instance) => [instance.id, instance]));
    const before = [...members, ...critical];
    const staying = before.filter(({ id, instance, passing }) => {
      const now = wanted.get(id);
      return now?.origin === instance.origin && now.passing === passing;
    });
    const leaving = before.filter((member) => !staying.includes(member));
    const present = new Set(staying.map((member) => member.id));
    const at = nowMs();
    const joining = [...wanted.values()].filter(({ id }) => !present.has(id)).map((one) => newMember(one, at));

    const all = [...staying, ...joining];
    members = all.filter(({ passing }) => passing);
    critical = all.filter(({ passing }) => !passing);
    for (const { id, passing } of joining) if (passing) onEvent({ kind: 'joined', upstream: name, instance: id });
    for (const member of leaving) {
      draining.add(member);
      if (member.outstanding === 0) forget(member);
    }
  }

  function newMember({ id, origin, passing }: PooledInstance, at: number): Member {
    return {
      id,
      instance: { id, side, service: name, origin },
      passing,
      joinedMs: at,
      outstanding: 0,
      failures: 0,
      latencyEwmaMs: null,
      health: newlyHealthy(at, policy.ejection),
    };
  }

  function stateOf(member: Member): InstanceStatus['state'] {
    if (draining.has(member)) return 'draining';
    return member.health.kind === 'healthy' && !member.passing ? 'critical' : member.health.kind;
  }

  function statusOf(member: Member): InstanceStatus {
    const { health } = member;
    return {
      id: member.id,
      origin: member.instance.origin,
      state: stateOf(member),
      outstanding: member.outstanding,
      failures: member.failures,
      ejectedUntil: health.kind === 'ejected' ? new Date(Date.now() + health.untilMs - nowMs()).toISOString() : null,
      latencyEwmaMs: member.latencyEwmaMs,
    };
  }

  return {
    name,
    acquire,
    setInstances,
    status: () => ({
      name,
      circuit: breaker.kind,
      inFlight: bulkhead.inFlight,
      maxConcurrent: bulkhead.maxConcurrent,
      instances: [...members, ...critical, ...draining].map(statusOf),
    }),
    close() {
      setInstances([]);
      closed = true;
    },
  };
}

/** What speaks against the instance in this outcome, or null. A 500 is the application's answer, not the instance's failure. */
function failureOf(outcome: Outcome): EjectionCause | null {
  switch (outcome.kind) {
    case 'failed':
      return outcome.cause;
    case 'client-aborted':
      return null;
    case 'answered':
      if (outcome.status === 502) return 'status-502';
      if (outcome.status === 503) return 'status-503';
      return outcome.status === 504 ? 'status-504' : null;
  }
}

function blend(meanMs: number | null, latencyMs: number): number {
  return meanMs === null ? latencyMs : meanMs + latencyWeight * (latencyMs - meanMs);
}
