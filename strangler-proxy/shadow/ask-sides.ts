import type { Side } from '../decide/decision.ts';
import type { Outcome, RefusalReason, Upstream, Upstreams } from '../upstream/upstream.ts';
import { type Agents, type AskBounds, type Asked, type AskUnderWay, type RepeatedRequest, startAsking } from './ask.ts';
import { createSlots } from './slots.ts';

/** Why a side was not asked at all. */
export type NotAsked = { kind: 'not-asked'; why: RefusalReason };

/** Asks sides for answers to compare: on connections, circuits and bounds of its own, none of which a live request uses. */
export type AskSides = {
  ask(side: Side, service: string, request: RepeatedRequest): Promise<Asked | NotAsked>;
  /** A dry run of a write, which can be called off as long as it is not on its way. */
  startDryRun(service: string, request: RepeatedRequest): AskUnderWay | NotAsked;
};

export type AskSidesOptions = {
  /** Asks under way at one side; further ones wait. */
  concurrency: number;
  upstreams: Upstreams;
  agents: Agents;
  dryRunAgents: Agents;
  bounds: AskBounds;
  dryRunBounds: AskBounds;
  /** By which the proxy shows a service who asks; none unless told. */
  headersFor?: (service: string) => Readonly<Record<string, string>>;
};

export const createAskSides = (options: AskSidesOptions): AskSides => {
  const { upstreams, agents, dryRunAgents, bounds, dryRunBounds, concurrency, headersFor } = options;
  // One line a side: a service that is slow must not keep the monolith from being asked.
  const slots = { monolith: createSlots(concurrency), service: createSlots(concurrency) };
  const upstreamOf = (side: Side, service: string): Upstream | undefined =>
    side === 'monolith' ? upstreams.monolith() : upstreams.service(service);

  const asOurs = (service: string, request: RepeatedRequest): RepeatedRequest =>
    headersFor === undefined ? request : { ...request, headers: { ...request.headers, ...headersFor(service) } };

  const askOnce = async (side: Side, service: string, request: RepeatedRequest): Promise<Asked | NotAsked> => {
    const lease = upstreamOf(side, service)?.acquire() ?? ({ kind: 'refused', why: 'no-instances' } as const);
    if (lease.kind === 'refused') return { kind: 'not-asked', why: lease.why };
    const shown = side === 'service' ? asOurs(service, request) : request;
    const asked = await startAsking(agents, lease.instance.origin, shown, bounds).answer;
    lease.release(outcomeOf(asked));
    return asked;
  };

  return {
    ask: (side, service, request) =>
      slots[side].run(async () => {
        const asked = await askOnce(side, service, request);
        // A connection that the server has just closed for having been idle says nothing; what reads may be sent again.
        return asked.kind === 'failed' && asked.reused && asked.cause === 'reset'
          ? await askOnce(side, service, request)
          : asked;
      }),
    startDryRun(service, request) {
      const lease = upstreams.service(service)?.acquire(undefined, 'once') ?? {
        kind: 'refused' as const,
        why: 'no-instances' as const,
      };
      if (lease.kind === 'refused') return { kind: 'not-asked', why: lease.why };
      const underWay = startAsking(dryRunAgents, lease.instance.origin, asOurs(service, request), dryRunBounds);
      void underWay.answer.then((asked) => lease.release(outcomeOf(asked)));
      return underWay;
    },
  };
};

/** What it says of the instance; one that makes no dry runs, or that was not given the time, is none the worse for it. */
const outcomeOf = (asked: Asked): Outcome => {
  const { latencyMs } = asked;
  if (asked.kind === 'answered') {
    // Who floods where the other side's answer was within its bounds is left alone like one who fails.
    return asked.extent === 'whole'
      ? { kind: 'answered', status: asked.status, latencyMs }
      : { kind: 'failed', cause: 'bad-response', latencyMs };
  }
  const saysNothing =
    asked.cause === 'called-off' || asked.cause === 'no-dry-run' || (asked.cause === 'reset' && asked.reused);
  return saysNothing
    ? { kind: 'client-aborted', latencyMs }
    : { kind: 'failed', cause: asked.cause as Exclude<typeof asked.cause, 'called-off' | 'no-dry-run'>, latencyMs };
};
