import type { AttemptRecord } from '../account/account.ts';
import type { Decision, Side } from '../decide/decision.ts';
import type { ForwardResult } from '../forward/forwarder.ts';
import { leaseOutcome } from '../forward/lease-outcome.ts';
import type { Instance, RefusalReason, Upstreams } from '../upstream/upstream.ts';
import { nextAttempt } from './next-attempt.ts';

export type FailedResult = Extract<ForwardResult, { kind: 'failed' }>;

/** How a request ended after all attempts that it was worth. */
export type Tried =
  | Exclude<ForwardResult, { kind: 'failed' }>
  | { kind: 'gave-up'; failure: FailedResult }
  | { kind: 'no-instance'; why: RefusalReason };

export type TryInstances = {
  upstreams: Upstreams;
  decision: Decision;
  hasBody: boolean;
  /** Gets a record of each attempt as it ends. */
  attempts: AttemptRecord[];
  tryOne(instance: Instance, side: Side): Promise<ForwardResult>;
};

/** Borrows instances, one after the other, until one has answered or nothing more may be tried. */
export async function tryInstances({ upstreams, decision, hasBody, attempts, tryOne }: TryInstances): Promise<Tried> {
  const { access, monolithMayServe, service } = decision;
  const monolithMayTakeOver = access === 'read' && monolithMayServe;
  let { side } = decision;
  let attemptsOnSide = 0;
  let tried: Set<string> | undefined;
  let failure: FailedResult | null = null;

  for (;;) {
    const upstream = side === 'monolith' ? upstreams.monolith() : upstreams.service(service ?? '');
    const resort = monolithMayTakeOver ? 'passing' : 'any';
    const lease = upstream?.acquire(tried, access === 'write' ? 'once' : 'repeatable', resort) ?? noSuchService;
    if (lease.kind === 'refused') {
      if (side === 'service' && monolithMayTakeOver) {
        side = 'monolith';
        attemptsOnSide = 0;
        continue;
      }
      return failure === null ? { kind: 'no-instance', why: lease.why } : { kind: 'gave-up', failure };
    }
    const { instance } = lease;
    const result = await tryOne(instance, side);
    lease.release(leaseOutcome(result));
    attempts.push({ instance, result });
    if (result.kind !== 'failed') return result;

    failure = result;
    attemptsOnSide += 1;
    switch (nextAttempt({ access, hasBody, failure, attemptsOnSide, side, monolithMayServe })) {
      case 'give-up':
        return { kind: 'gave-up', failure };
      case 'another-instance':
        tried ??= new Set();
        tried.add(instance.id);
        break;
      case 'any-instance':
        break;
      case 'monolith':
        side = 'monolith';
        attemptsOnSide = 0;
        break;
    }
  }
}

const noSuchService = { kind: 'refused', why: 'no-instances' } as const;
