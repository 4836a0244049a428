import type { Log } from '@strangler/platform/log.ts';
import { createLog } from '@strangler/platform/log.ts';
import { Registry } from 'prom-client';
import type { BodyFraming } from '../accept/framing.ts';
import type { RequestFacts } from '../decide/decision.ts';
import type { PolicyDeps, PolicyKind } from '../gateway/kind.ts';
import type { Identity, Policy, PolicyRequest, Verdict } from '../gateway/policy.ts';
import { countedMetrics } from './gateway-of.ts';

export type RequestWishes = Partial<
  Pick<RequestFacts, 'method' | 'path' | 'clientAddress' | 'operator' | 'headers'>
> & {
  route?: string;
  identity?: Partial<Identity>;
  body?: BodyFraming;
  https?: boolean;
};

/** A request as a policy sees it. */
export const policyRequest = ({
  route,
  identity,
  body,
  https = false,
  ...facts
}: RequestWishes = {}): PolicyRequest => {
  const { method = 'GET', path = '/api/products' } = facts;
  return {
    route: route ?? '* /*',
    identity: { user: null, key: null, claims: null, ...identity },
    facts: {
      headers: {},
      clientAddress: '192.0.2.1',
      operator: false,
      forcedSide: null,
      verifiedClaims: null,
      ...facts,
      method,
      path,
    },
    outgoing: {
      method,
      target: path,
      headers: { 'X-Forwarded-Proto': https ? 'https' : 'http' },
      body: body ?? { kind: 'none' },
      clientAwaitsContinue: false,
      kept: null,
      tap: null,
      filter: null,
      said: [],
      maxBodyBytes: null,
    },
  };
};

export const silent: Log = createLog({ name: 'test', level: 'silent' });

/** What a policy is given in tests: no Redis, one worker, a clock that stands at `clock.nowMs`. */
export const policyDeps = (over: Partial<PolicyDeps> = {}) => {
  const metrics = countedMetrics();
  const clock = { nowMs: 1_000_000 };
  const deps: PolicyDeps = {
    cache: () => null,
    registry: new Registry(),
    folder: '/',
    redis: () => null,
    workers: 1,
    metrics,
    log: silent,
    sliceOf: () => null,
    nowMs: () => clock.nowMs,
    ...over,
  };
  return { deps, metrics, clock };
};

/** A policy of a kind, made of what its schema makes of this. */
export const makePolicy = async (
  kind: unknown,
  config: object,
  deps: PolicyDeps = policyDeps().deps,
): Promise<Policy> => {
  const { schema, create } = kind as PolicyKind;
  return create('tested', schema.parse(config), deps);
};

/** The status that a policy refuses a request with, or `pass`. */
export const verdictOf = async (policy: Policy, wishes: RequestWishes = {}): Promise<'pass' | number> => {
  const verdict: Verdict = await policy.check!(policyRequest(wishes));
  return verdict.kind === 'pass' ? 'pass' : verdict.status;
};
