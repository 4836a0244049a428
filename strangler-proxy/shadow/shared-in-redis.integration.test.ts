import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createRedis, type Redis } from '@strangler/platform/redis.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { exchangeNoise, noiseKey } from './exchange-noise.ts';
import { createSharedNoise } from './shared-noise.ts';
import { createWritesSeen } from './writes-seen.ts';

const log = createLog({ name: 'test', level: 'silent' });
const never = 3_600_000;
let redis: Redis;
let prefix: string;

beforeEach(async () => {
  prefix = `test:${crypto.randomUUID()}:`;
  redis = createRedis({ url: testServers().redisUrl, log, commandTimeoutMs: 2_000 });
  await eventually(() => redis.ready());
});
afterEach(async () => {
  for (const key of await redis.client.keys(`${prefix}*`)) await redis.client.del(key);
  await redis.close();
});

describe('what is noise', () => {
  const worker = (name: string, noise = createSharedNoise()) => {
    const exchange = exchangeNoise({
      redis,
      prefix,
      worker: name,
      noise: new Map([['catalog', noise]]),
      everyMs: never,
    });
    return { noise, ...exchange };
  };
  const learn = (noise: ReturnType<typeof createSharedNoise>): void => {
    for (let pair = 0; pair < 40; pair += 1) {
      noise.learn('GET /a', ['$.t']);
      noise.compared('GET /a', ['$.t']);
    }
  };

  test('is known to every worker of every proxy once one has learnt it, and to the same worker after a restart', async () => {
    const [one, other] = [worker('proxy-1/1'), worker('proxy-2/1')];
    learn(one.noise);
    expect(other.noise.isNoise('GET /a', '$.t')).toBe(false);
    await one.exchange();
    await other.exchange();
    expect(other.noise.isNoise('GET /a', '$.t')).toBe(true);
    expect(other.noise.own()).toEqual({ endpoints: {} });

    const again = worker('proxy-1/1');
    await again.exchange();
    await again.exchange();
    expect(again.noise.isNoise('GET /a', '$.t')).toBe(true);
    expect(again.noise.own().endpoints['GET /a']).toMatchObject({ pairs: 40, compared: 40 });
    for (const { stop } of [one, other, again]) await stop();
  });

  test('goes by what a worker knows itself where what stands in Redis is damaged', async () => {
    const one = worker('proxy-1/1');
    learn(one.noise);
    await redis.client.hSet(noiseKey(prefix, 'catalog'), {
      'proxy-2/1': '{',
      'proxy-3/1': '{"endpoints":{"x":{"pairs":-1}}}',
    });
    await one.exchange();
    expect(one.noise.isNoise('GET /a', '$.t')).toBe(true);
    await one.stop();
  });
});

describe('a write', () => {
  const seenBy = (to: Pick<Redis, 'run'> | null) =>
    createWritesSeen({ maxResources: 100, nowMs: () => performance.now(), redis: to, prefix });

  test('to what another worker has just written is known for that, and one to something else is not', async () => {
    const [one, other] = [seenBy(redis), seenBy(redis)];
    const first = one.begin('catalog', '/api/products/7');
    expect(await first.othersWrote()).toBe(false);
    first.end();
    expect(await other.begin('catalog', '/api/products/7').othersWrote()).toBe(true);
    expect(await first.othersWrote()).toBe(true);
    expect(await other.begin('catalog', '/api/products/8').othersWrote()).toBe(false);
    expect(await other.begin('orders', '/api/products/7').othersWrote()).toBe(false);
    for (const key of await redis.client.keys(`${prefix}*`)) {
      expect(key).not.toContain('products');
      expect(await redis.client.pTTL(key)).toBeGreaterThan(0);
    }
  });

  test('is judged by what this worker knows while Redis is away', async () => {
    const away = seenBy({ run: async () => undefined });
    expect(await away.begin('catalog', '/api/products/7').othersWrote()).toBe(false);
    expect(await away.begin('catalog', '/api/products/7').othersWrote()).toBe(true);
  });
});
