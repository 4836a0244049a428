import { z } from 'zod';
import { policyKind } from '../kind.ts';
import type { Pass, Policy, Refuse, Verdict } from '../policy.ts';
import { createLocalWindow } from '../rate-limit/local-window.ts';
import { createRedisCircuit } from '../rate-limit/redis-circuit.ts';
import { createRedisWindow } from '../rate-limit/redis-window.ts';
import { type Count, type Quota, type Standing, standingOf } from '../rate-limit/sliding-window.ts';
import { countables, countedBy, redisKey, subjectOf } from '../rate-limit/subject.ts';
import { span } from '../settings.ts';

const schema = z
  .strictObject({
    limit: z.int().min(1).max(1_000_000_000).describe('Requests that may pass in one window.'),
    window: span({ min: 1_000, max: 86_400_000 }).describe('Length of the window, which slides.'),
    by: z
      .array(z.enum(countables))
      .min(1)
      .max(4)
      .default(['user', 'key', 'address'])
      .describe(
        'Whose requests are counted together: the first of these that is known. `user` and `key` are known after a policy that proves ' +
          'them; without any of them the address counts. Default: user, key, address.',
      ),
    each: z
      .enum(['policy', 'route'])
      .default('policy')
      .describe('One count for all routes on which the policy stands, or one for each. Default: policy.'),
    localShare: z
      .number()
      .min(0.001)
      .max(1)
      .optional()
      .describe(
        'Share of the limit that one worker lets pass by itself while Redis is away. Default: 1 by the number of workers; with more ' +
          'proxies than one say 1 by all their workers.',
      ),
  })
  .describe('Lets so many requests pass in so long, counted in Redis by all proxies together; more, 429.');

const mostLocalSubjects = 10_000;
const redisPauseMs = 1_000;

/** Rate limits, told in the fields of draft-ietf-httpapi-ratelimit-headers. */
export const rateLimit = policyKind({
  schema,
  create(name, { limit, window, by, each, localShare }, { redis, workers, metrics, log, nowMs }): Policy {
    const quota: Quota = { limit, windowMs: window };
    const localQuota: Quota = { limit: Math.max(1, Math.floor(limit * (localShare ?? 1 / workers))), windowMs: window };
    const policyField = `"${name}";q=${limit};w=${Math.ceil(window / 1000)}`;
    const tell = tellStanding(name, policyField);
    const countLocally = createLocalWindow(mostLocalSubjects);
    const store = redis();
    const countInRedis = store === null ? null : createRedisWindow(store);
    const circuit = createRedisCircuit(redisPauseMs);

    const local = (counted: string): Verdict =>
      tell(standingOf(localQuota, countLocally(counted, localQuota, nowMs())));
    const degraded = (why: string, counted: string): Verdict => {
      metrics.degraded(name, why);
      return local(counted);
    };
    const shared = async (counted: string, count: Promise<Count | undefined>): Promise<Verdict> => {
      try {
        const found = await count;
        if (found !== undefined) {
          circuit.answered();
          return tell(standingOf(quota, found));
        }
      } catch (error) {
        log.error({ err: error, policy: name }, 'Redis refuses to count; counting in this worker');
      }
      circuit.missed(nowMs());
      return degraded('redis-missed', counted);
    };

    return {
      name,
      check(request) {
        const counted = countedBy(each === 'route' ? request.route : '', subjectOf(by, request));
        if (store === null || countInRedis === null) return local(counted);
        if (!store.ready() || !circuit.mayAsk(nowMs())) return degraded('redis-away', counted);
        return shared(counted, countInRedis(redisKey(name, counted), quota));
      },
    };
  },
});

const tellStanding =
  (name: string, policyField: string) =>
  ({ allowed, remaining, resetMs }: Standing): Pass | Refuse => {
    const seconds = Math.ceil(resetMs / 1000);
    const field = `"${name}";r=${remaining};t=${seconds}`;
    if (allowed) return { kind: 'pass', addToAnswer: ['RateLimit-Policy', policyField, 'RateLimit', field] };
    return {
      kind: 'refuse',
      status: 429,
      title: 'Too many requests',
      detail: `As many requests have come as may; try again in ${seconds} s.`,
      headers: { 'Retry-After': `${seconds}`, 'RateLimit-Policy': policyField, RateLimit: field },
    };
  };
