import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createRedis, type Redis } from '@strangler/platform/redis.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { makePolicy, policyDeps, policyRequest, silent, verdictOf } from '../../testing/policy-request.ts';
import { createRedisWindow } from '../rate-limit/redis-window.ts';
import { countAt, standingOf } from '../rate-limit/sliding-window.ts';
import { rateLimit } from './rate-limit.ts';

const hour = 3_600_000;
let redis: Redis;
let prefix: string;
const opened: { close(): Promise<void> }[] = [];

const open = async (url: string, commandTimeoutMs: number): Promise<Redis> => {
  const one = createRedis({ url, log: silent, prefix, commandTimeoutMs });
  opened.unshift(one);
  await eventually(() => one.ready());
  return one;
};
beforeEach(async () => {
  prefix = `test:${crypto.randomUUID()}:`;
  redis = await open(testServers().redisUrl, 5_000);
});
afterEach(async () => {
  for (const key of await redis.client.keys(`${prefix}*`)) await redis.client.del(key.slice(prefix.length));
  for (const one of opened.splice(0)) await one.close();
});

describe('a limit that is counted in Redis', () => {
  test('is one limit for all proxies together, whoever is asked, and another for each user', async () => {
    const other = await open(testServers().redisUrl, 5_000);
    const proxies = await Promise.all(
      [redis, other].map((one) =>
        makePolicy(rateLimit, { limit: 50, window: '1h', by: ['user'] }, policyDeps({ redis: () => one }).deps),
      ),
    );
    const ask = (at: number, user: string) => verdictOf(proxies[at % 2]!, { identity: { user } });
    // At the turn of an hour the share of the hour before counts too, and can only make it less.
    const verdicts = await Promise.all(Array.from({ length: 80 }, (_, at) => ask(at, '7')));
    expect(verdicts.filter((one) => one === 'pass')).toHaveLength(50);
    expect(verdicts.filter((one) => one === 429)).toHaveLength(30);
    expect(await ask(0, '8')).toBe('pass');
    const [key = ''] = await redis.client.keys(`${prefix}*`);
    expect(key).not.toContain('7 ');
    expect(await redis.client.pTTL(key.slice(prefix.length))).toBeGreaterThan(hour);
  });

  test('counts requests of one moment by few commands, each by its own limit and in the order in which they came', async () => {
    let commands = 0;
    const count = createRedisWindow({
      run(command) {
        commands += 1;
        return redis.run(command);
      },
    });
    const quotas = [
      { limit: 3, windowMs: hour },
      { limit: 200, windowMs: 24 * hour },
    ];
    const found = await Promise.all(Array.from({ length: 300 }, (_, at) => count(`key${at % 2}`, quotas[at % 2]!)));
    expect(found.filter((_, at) => at % 2 === 0).map((one) => one!.current)).toEqual([
      ...[0, 1, 2],
      ...Array.from({ length: 147 }, () => 3),
    ]);
    expect(found.filter((_, at) => at % 2 === 1).map((one) => one!.current)).toEqual(
      Array.from({ length: 150 }, (_, at) => at),
    );
    expect(commands).toBe(3);
  });

  test('follows the rule that the pure core states, also when Redis has forgotten the script', async () => {
    const count = createRedisWindow(redis);
    const quota = { limit: 5, windowMs: hour };
    const window = Math.floor(Date.now() / hour);
    await redis.client.hSet('one', { window: `${window - 1}`, previous: '9', current: '4' });
    await redis.client.scriptFlush();
    let stored = { window: window - 1, previous: 9, current: 4 };
    for (let n = 0; n < 8; n += 1) {
      const found = await count('one', quota);
      const expected = countAt(stored, hour, window * hour + found!.elapsedMs);
      expect(found).toEqual({ previous: expected.previous, current: expected.current, elapsedMs: found!.elapsedMs });
      stored = { ...expected, current: expected.current + (standingOf(quota, found!).allowed ? 1 : 0) };
    }
    expect(stored.current).toBeGreaterThanOrEqual(1);
    expect(stored.current).toBeLessThanOrEqual(5);
  });
});

describe('while Redis', () => {
  let way: TcpProxy;
  beforeEach(async () => {
    way = await startTcpProxy(testServers().redisUrl);
    opened.push(way);
  });
  const limited = async (commandTimeoutMs: number) => {
    const link = await open(way.url, commandTimeoutMs);
    const { deps, metrics, clock } = policyDeps({ redis: () => link, workers: 2 });
    clock.nowMs = 10 * hour;
    const policy = await makePolicy(rateLimit, { limit: 8, window: '1h' }, deps);
    return { policy, metrics, clock, link };
  };

  test('is away, each worker lets its share pass, at once; when it is back, all count together again', async () => {
    const { policy, metrics, link } = await limited(5_000);
    expect(await verdictOf(policy)).toBe('pass');
    await way.refuse();
    await eventually(() => !link.ready());
    const verdicts = Array.from({ length: 6 }, () => policy.check!(policyRequest()));
    expect(verdicts.map((one) => (one instanceof Promise ? 'waited' : one.kind))).toEqual([
      ...['pass', 'pass', 'pass', 'pass'],
      ...['refuse', 'refuse'],
    ]);
    expect(metrics.events).toContain('degraded tested redis-away');
    await way.pass();
    await eventually(() => link.ready());
    expect(await verdictOf(policy)).toBe('pass');
  });

  test('hangs, one request waits for the time-out of its command, and the rest for nothing', async () => {
    const { policy, metrics, clock } = await limited(50);
    await way.stall();
    const startedMs = performance.now();
    expect(await verdictOf(policy)).toBe('pass');
    expect(performance.now() - startedMs).toBeGreaterThan(40);
    expect(metrics.events).toEqual(['degraded tested redis-missed']);
    const next = policy.check!(policyRequest());
    expect(next).not.toBeInstanceOf(Promise);
    clock.nowMs += 1_000;
    const trial = policy.check!(policyRequest());
    expect(trial).toBeInstanceOf(Promise);
    expect(policy.check!(policyRequest())).not.toBeInstanceOf(Promise);
    await way.pass();
    await trial;
  });
});
