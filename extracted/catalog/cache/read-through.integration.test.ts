import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createCacheLink } from '@strangler/platform/cache/cache-link.ts';
import { announcement, generationKey } from '@strangler/platform/cache/generation.ts';
import { createInvalidation } from '@strangler/platform/cache/invalidation.ts';
import { everythingScope } from '@strangler/platform/cache/scope.ts';
import { createMetrics } from '@strangler/platform/http/metrics.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createRedis } from '@strangler/platform/redis.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import type { Representation } from '../http/representation.ts';
import { removeKeys } from '../testing/remove-keys.ts';
import { type CacheOutcome, type CacheTimes, createReadThrough } from './read-through.ts';
import { listsScope, productScope } from './scope.ts';

const log = createLog({ name: 'test', level: 'silent' });
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function newPrefix(): string {
  const prefix = `test:${randomBytes(8).toString('hex')}:`;
  closers.push(() => removeKeys(testServers().redisUrl, prefix));
  return prefix;
}

/** One process's cache, over Redis. */
async function open(
  prefix: string,
  {
    url = testServers().redisUrl,
    timeoutMs = 1000,
    times = {},
    mostMissing,
    buildWaitMs = 10_000,
  }: { url?: string; timeoutMs?: number; times?: Partial<CacheTimes>; mostMissing?: number; buildWaitMs?: number } = {},
) {
  const registry = createMetrics({ service: 'test' });
  const redis = createRedis({ url, log, prefix, commandTimeoutMs: timeoutMs });
  closers.push(() => redis.close());
  await eventually(() => redis.ready());
  const link = createCacheLink({ redis, log, openMs: 50 });
  const invalidation = createInvalidation({ link, log, registry, name: 'catalog_cache' });
  closers.push(() => invalidation.close());
  const cache = createReadThrough({
    link,
    invalidation,
    times: { freshMs: 60_000, keepMs: 60_000, missingMs: 2_000, ...times },
    log,
    registry,
    buildWaitMs,
    ...(mostMissing === undefined ? {} : { mostMissing }),
  });
  const outcomes = async (): Promise<Partial<Record<CacheOutcome, number>>> => {
    const { values } = await registry.getSingleMetric('catalog_cache_reads_total')!.get();
    return Object.fromEntries(values.map(({ labels, value }) => [labels.outcome, value]));
  };
  return { redis, link, invalidation, cache, outcomes };
}

type Cache = Awaited<ReturnType<typeof open>>['cache'];

function shown(price: number): Representation {
  return { body: `{"price":${price}}`, entityTag: `"${price}"`, lastModified: new Date(1000 * price) };
}

/** A product in a database that says how often it was read, and can be kept waiting. */
function database(price = 1) {
  const state = { price: price as number | undefined, reads: 0, hold: undefined as Promise<void> | undefined };
  const load = async (): Promise<Representation | undefined> => {
    state.reads += 1;
    const seen = state.price;
    await state.hold;
    return seen === undefined ? undefined : shown(seen);
  };
  const read = (cache: Cache, id = 1) =>
    cache.read({ kind: 'product', key: `${id}`, scope: productScope(id), load }).then((found) => found?.entityTag);
  return { state, load, read };
}

describe('a read', () => {
  test('is answered from Redis the second time, exactly as the first time', async () => {
    const { cache, outcomes } = await open(newPrefix());
    const { state, load } = database();
    const read = () => cache.read({ kind: 'product', key: '1', scope: productScope(1), load });
    const first = await read();
    expect(await read()).toEqual(first);
    expect(first).toEqual(shown(1));
    expect(state.reads).toBe(1);
    expect(await outcomes()).toEqual({ miss: 1, hit: 1 });
  });

  test('of one key by a hundred at once reads the database once', async () => {
    const { cache } = await open(newPrefix());
    const { state, read } = database();
    const all = await Promise.all(Array.from({ length: 100 }, () => read(cache)));
    expect(new Set(all)).toEqual(new Set(['"1"']));
    expect(state.reads).toBe(1);
  });

  test('of one key by a hundred of each of two processes reads the database once', async () => {
    const prefix = newPrefix();
    const [one, other] = [await open(prefix), await open(prefix)];
    const { state, read } = database();
    // Long enough for both to have asked, far shorter than they wait for each other.
    state.hold = new Promise((resolve) => setTimeout(resolve, 30));
    const reads = Array.from({ length: 100 }, () => [read(one.cache), read(other.cache)]).flat();
    expect(new Set(await Promise.all(reads))).toEqual(new Set(['"1"']));
    expect(state.reads).toBe(1);
  });

  test('does not wait for ever for another process that builds the entry and has died', async () => {
    const prefix = newPrefix();
    const { cache, redis } = await open(prefix, { buildWaitMs: 50 });
    const { state, read } = database();
    await read(cache);
    const keys = await redis.client.keys(`${prefix}e:*`);
    expect(keys).toHaveLength(1);
    const key = keys[0]!.slice(prefix.length);
    const generations = await redis.client.mGet([generationKey(everythingScope), generationKey(productScope(1))]);
    await redis.client.del(key);
    await redis.client.set(`lock:${key}:${generations.join('.')}`, 'somebody who is gone', { PX: 60_000 });
    expect(await read(cache)).toBe('"1"');
    expect(state.reads).toBe(2);
  });

  test('that fails is not remembered', async () => {
    const { cache } = await open(newPrefix());
    const { load } = database();
    const read = (fail: boolean) =>
      cache.read({
        kind: 'product',
        key: '1',
        scope: productScope(1),
        load: fail ? () => Promise.reject(new Error('database')) : load,
      });
    await expect(read(true)).rejects.toThrow('database');
    expect(await read(false)).toEqual(shown(1));
  });

  test('past its freshness is answered at once, while one builds it anew', async () => {
    const { cache, outcomes } = await open(newPrefix(), { times: { freshMs: 1 } });
    const { state, read } = database();
    await read(cache);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const { promise, resolve } = Promise.withResolvers<void>();
    state.hold = promise;
    const answers = await Promise.all(Array.from({ length: 20 }, () => read(cache)));
    expect(new Set(answers)).toEqual(new Set(['"1"']));
    // The one that made the entry may still be at its end: then none of these has begun another.
    await eventually(async () => {
      expect(await read(cache)).toBe('"1"');
      expect(state.reads).toBe(2);
    });
    resolve();
    expect((await outcomes()).stale).toBeGreaterThan(20);
  });

  test('of an answer that is very large is not kept', async () => {
    const { cache, outcomes } = await open(newPrefix());
    const large = { body: 'x'.repeat(300_000), entityTag: '"x"' };
    const read = () => cache.read({ kind: 'products', key: 'all', scope: listsScope, load: async () => large });
    await read();
    await eventually(async () => expect((await read())?.body).toHaveLength(300_000));
    expect((await outcomes()).hit).toBeUndefined();
  });
});

describe('a change', () => {
  test('is seen by whoever asks after it, in this process and in others', async () => {
    const prefix = newPrefix();
    const [one, other] = [await open(prefix), await open(prefix)];
    const { state, read } = database();
    for (const { cache } of [one, other]) await read(cache);
    for (let price = 2; price < 30; price += 1) {
      await one.invalidation.around([productScope(1)], async () => {
        state.price = price;
      });
      expect(await Promise.all([read(other.cache), read(one.cache)])).toEqual([`"${price}"`, `"${price}"`]);
    }
  });

  test('beats a fill that read the database before it and ends after it', async () => {
    const prefix = newPrefix();
    const [filler, writer] = [await open(prefix), await open(prefix)];
    const { state, read } = database(1);
    const { promise, resolve } = Promise.withResolvers<void>();
    state.hold = promise;
    const slow = read(filler.cache);
    await eventually(() => expect(state.reads).toBe(1));
    state.hold = undefined;

    await writer.invalidation.around([productScope(1)], async () => {
      state.price = 2;
    });
    // Nobody who asks now joins the slow one.
    expect(await read(filler.cache)).toBe('"2"');
    resolve();
    expect(await slow).toBe('"1"');
    await new Promise((resolved) => setTimeout(resolved, 20));
    expect(await read(filler.cache)).toBe('"2"');
    expect(await read(writer.cache)).toBe('"2"');
  });

  test('beats a fill even where its entry is put into Redis after it', async () => {
    const prefix = newPrefix();
    const { cache, redis, invalidation } = await open(prefix);
    const { state, read } = database(1);
    await read(cache);
    const keys = await redis.client.keys(`${prefix}e:*`);
    expect(keys).toHaveLength(1);
    const key = keys[0]!.slice(prefix.length);
    const old = await redis.client.get(key);
    state.price = 2;
    await invalidation.changed([productScope(1)]);
    await redis.client.set(key, old!);
    expect(await read(cache)).toBe('"2"');
  });

  test('is announced: what is read while it is under way is not kept', async () => {
    const { cache, invalidation, outcomes } = await open(newPrefix());
    const { state, read } = database(1);
    await invalidation.around([productScope(1)], async () => {
      await read(cache);
      state.price = 2;
    });
    expect(await read(cache)).toBe('"2"');
    expect(await outcomes()).toEqual({ writing: 1, miss: 1 });
  });

  test('that is refused leaves the cache as it was, whoever else writes meanwhile', async () => {
    const { cache, invalidation, outcomes } = await open(newPrefix());
    const { state, read } = database(1);
    const refuse = () =>
      invalidation.around([productScope(1)], () => Promise.reject(problems.conflict('taken'))).catch(() => 'refused');
    await read(cache);
    expect(await refuse()).toBe('refused');
    expect(await read(cache)).toBe('"1"');
    expect(await outcomes()).toEqual({ miss: 1, hit: 1 });

    await invalidation.around([productScope(1)], async () => {
      await refuse();
      state.price = 2;
    });
    expect(await read(cache)).toBe('"2"');
    const outer = invalidation.around([productScope(1)], async () => {
      await invalidation.around([productScope(1)], async () => {
        state.price = 3;
      });
      throw problems.conflict('taken');
    });
    await expect(outer).rejects.toThrow('taken');
    expect(await read(cache)).toBe('"3"');
  });

  test('whose outcome is unknown counts as a change', async () => {
    const { cache, invalidation } = await open(newPrefix());
    const { state, read } = database(1);
    await read(cache);
    const unknown = invalidation.around([productScope(1)], async () => {
      state.price = 2;
      throw new Error('the connection was lost');
    });
    await expect(unknown).rejects.toThrow('lost');
    expect(await read(cache)).toBe('"2"');
  });

  test('whose process dies before it can tell leaves nothing old behind', async () => {
    const { cache, redis } = await open(newPrefix());
    const { state, read } = database(1);
    await read(cache);
    // What is left of a process that announced, committed and died.
    await redis.client.set(generationKey(productScope(1)), announcement(), { PX: 1_000 });
    expect(await read(cache)).toBe('"1"');
    state.price = 2;
    expect(await read(cache)).toBe('"2"');
    await eventually(async () => expect(await redis.client.exists(generationKey(productScope(1)))).toBe(0));
    expect(await read(cache)).toBe('"2"');
  });

  test('of a generation that Redis has lost makes every entry unbelieved, not believed again', async () => {
    const { cache, redis, invalidation } = await open(newPrefix());
    const { state, read } = database(1);
    await read(cache);
    state.price = 2;
    await invalidation.changed([productScope(1)]);
    await redis.client.del(generationKey(productScope(1)));
    expect(await read(cache)).toBe('"2"');
  });

  test('of everything is a change of each', async () => {
    const { cache, invalidation } = await open(newPrefix());
    const { state, read } = database(1);
    await read(cache);
    state.price = 2;
    await invalidation.changed([everythingScope]);
    expect(await read(cache)).toBe('"2"');
  });

  test('of another product is none of this one', async () => {
    const { cache, invalidation } = await open(newPrefix());
    const { state, read } = database(1);
    await read(cache);
    await invalidation.changed([productScope(2), listsScope]);
    await read(cache);
    expect(state.reads).toBe(1);
  });

  test('under load never lets a price be read that is older than the last acknowledged one', async () => {
    const prefix = newPrefix();
    const readers = [await open(prefix, { times: { freshMs: 2 } }), await open(prefix, { times: { freshMs: 2 } })];
    const writer = await open(prefix);
    const { state, load } = database(0);
    let acknowledged = 0;
    let done = false;
    const slowLoad = async () => {
      const found = await load();
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 4));
      return found;
    };
    const readOn = async ({ cache }: { cache: Cache }) => {
      let reads = 0;
      while (!done) {
        const atLeast = acknowledged;
        const found = await cache.read({ kind: 'product', key: '1', scope: productScope(1), load: slowLoad });
        expect(Number(found?.entityTag.replaceAll('"', ''))).toBeGreaterThanOrEqual(atLeast);
        reads += 1;
      }
      return reads;
    };
    const reading = Promise.all([...readers, ...readers, ...readers].map(readOn));
    for (let price = 1; price <= 60; price += 1) {
      await writer.invalidation.around([productScope(1)], async () => {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
        state.price = price;
      });
      acknowledged = price;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 6));
    }
    done = true;
    expect((await reading).every((reads) => reads > 10)).toBe(true);
  });
});

describe('what there is not', () => {
  test('is remembered for a moment, and forgotten when it comes to be', async () => {
    const { cache, invalidation } = await open(newPrefix());
    const { state, read } = database();
    state.price = undefined;
    expect([await read(cache), await read(cache)]).toEqual([undefined, undefined]);
    expect(state.reads).toBe(1);
    await invalidation.around(
      [listsScope],
      async () => {
        state.price = 5;
      },
      () => [productScope(1)],
    );
    expect(await read(cache)).toBe('"5"');
  });

  test('fills Redis up to a bound and no further', async () => {
    const prefix = newPrefix();
    const { cache, redis, outcomes } = await open(prefix, { mostMissing: 10, times: { missingMs: 60_000 } });
    const { state, read } = database();
    state.price = undefined;
    for (let id = 1; id <= 200; id += 1) expect(await read(cache, id)).toBeUndefined();
    expect((await redis.client.keys(`${prefix}*`)).length).toBeLessThan(40);
    expect((await outcomes()).skipped).toBeGreaterThan(150);
  });
});

describe('without Redis', () => {
  test('every read is answered from the database, and takes no time that counts', async () => {
    const proxy = await startTcpProxy(testServers().redisUrl);
    closers.push(() => proxy.close());
    const { cache, outcomes, redis } = await open(newPrefix(), { url: proxy.url });
    const { state, read } = database();
    await read(cache);
    await proxy.refuse();
    await eventually(() => expect(redis.ready()).toBe(false));
    for (let n = 0; n < 20; n += 1) expect(await read(cache)).toBe('"1"');
    expect(state.reads).toBe(21);
    expect((await outcomes()).away).toBe(20);
    await proxy.pass();
    await eventually(async () => {
      const before = (await outcomes()).hit ?? 0;
      await read(cache);
      expect((await outcomes()).hit ?? 0).toBeGreaterThan(before);
    });
  });

  test('a Redis that hangs is waited for by few, for the time-out at most', async () => {
    const proxy = await startTcpProxy(testServers().redisUrl);
    closers.push(() => proxy.close());
    const { cache, redis, invalidation } = await open(newPrefix(), { url: proxy.url, timeoutMs: 20 });
    const { state, read } = database();
    await read(cache);
    await proxy.stall();
    for (let n = 0; n < 100; n += 1) expect(await read(cache)).toBe('"1"');
    // Reads that asked Redis in vain: three to open the circuit, then one now and then.
    expect(redis.misses().late + redis.misses().away).toBeLessThan(50);
    await invalidation.around([productScope(1)], async () => {
      state.price = 2;
    });
    expect(await read(cache)).toBe('"2"');
  });

  test('a hundred reads at once of one key are two reads of the database', async () => {
    const { state, read } = database();
    const registry = createMetrics({ service: 'test' });
    const invalidation = createInvalidation({ link: undefined, log, name: 'catalog_cache' });
    const times = { freshMs: 1, keepMs: 1, missingMs: 1 };
    const cache = createReadThrough({ link: undefined, invalidation, times, log, registry });
    state.hold = new Promise((resolve) => setImmediate(resolve));
    await Promise.all(Array.from({ length: 100 }, () => read(cache)));
    expect(state.reads).toBe(2);
  });

  test('a change is owed, read past the cache until Redis is back, and then told', async () => {
    const prefix = newPrefix();
    const proxy = await startTcpProxy(testServers().redisUrl);
    closers.push(() => proxy.close());
    const writer = await open(prefix, { url: proxy.url });
    const other = await open(prefix);
    const { state, read } = database(1);
    await read(writer.cache);
    await proxy.refuse();
    await eventually(() => expect(writer.redis.ready()).toBe(false));
    await writer.invalidation.around([productScope(1)], async () => {
      state.price = 2;
    });
    expect(writer.invalidation.owing()).toBe(true);
    expect(await read(writer.cache)).toBe('"2"');
    await proxy.pass();
    await eventually(() => expect(writer.invalidation.owing()).toBe(false));
    expect(await Promise.all([read(writer.cache), read(other.cache)])).toEqual(['"2"', '"2"']);
  });
});
