import { z } from 'zod';
import { policyKind } from '../kind.ts';
import type { Pass, Policy, Refuse } from '../policy.ts';
import { buildChains } from '../route-chains.ts';
import { routeText } from '../route-text.ts';

const schema = z
  .strictObject({
    max: z.int().min(1).max(100_000).describe('Requests that may be under way in one worker.'),
    each: z
      .enum(['policy', 'route'])
      .default('policy')
      .describe('One count for all routes on which the policy stands, or one for each. Default: policy.'),
    shed: z
      .array(
        z.strictObject({
          routes: z.array(routeText).min(1).max(100).describe('Routes that matter less.'),
          above: z.number().min(0).max(1).describe('Share of `max` from which on they are refused.'),
        }),
      )
      .max(10)
      .default([])
      .describe('What is refused first when it gets crowded; all else is refused at `max`. Default: nothing.'),
    retryAfter: z.int().min(1).max(3_600).default(1).describe('Seconds, told to whoever is refused. Default: 1.'),
  })
  .describe('Bounds the requests that are under way, and refuses first what matters least, 503.');

/** Whether one more may be under way: the bound of a request that may be shed is a share of the whole, and never the last place. */
export const hasRoom = (inFlight: number, max: number, above: number): boolean => inFlight < Math.floor(max * above);

/** Requests of one worker under way at a time. */
export const concurrency = policyKind({
  schema,
  create(name, { max, each, shed, retryAfter }, { metrics }): Policy {
    const shares = new Map(shed.flatMap(({ routes, above }) => routes.map((route) => [route, above] as const)));
    const find = buildChains(
      [...shares.keys()].map((route) => ({ route, policies: [] })),
      () => ({ name }),
    );
    const counts = new Map<string, { inFlight: number }>();
    const refusal: Refuse = {
      kind: 'refuse',
      status: 503,
      title: 'Service unavailable',
      detail: 'As many requests are under way as may be; try again shortly.',
      headers: { 'Retry-After': `${retryAfter}` },
    };
    const countOf = (route: string) => {
      let count = counts.get(route);
      if (count === undefined) {
        count = { inFlight: 0 };
        counts.set(route, count);
      }
      return count;
    };
    return {
      name,
      check({ facts, route }): Pass | Refuse {
        const label = each === 'route' ? route : 'all';
        const count = countOf(label);
        const lesser = shares.size === 0 ? null : find(facts.method, facts.path);
        const above = lesser === null ? 1 : (shares.get(lesser.route) ?? 1);
        if (!hasRoom(count.inFlight, max, above)) return refusal;
        count.inFlight += 1;
        metrics.inFlight(name, label, count.inFlight);
        return {
          kind: 'pass',
          over() {
            count.inFlight -= 1;
            metrics.inFlight(name, label, count.inFlight);
          },
        };
      },
    };
  },
});
