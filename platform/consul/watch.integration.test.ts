import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { eventually } from '../testing/eventually.ts';
import { testServers } from '../testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '../testing/tcp-proxy.ts';
import { type ConsulClient, createConsul } from './client.ts';
import { type Watch, type WatchOptions, watchKey, watchPrefix } from './watch.ts';

const log = pino({ level: 'silent' });
const { consulUrl } = testServers();
const consul = createConsul({ url: consulUrl, log });
const prefix = `test/watch/${randomUUID()}/`;
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

afterAll(async () => {
  for (const key of (await consul.kv.list(prefix)).keys()) await consul.kv.delete(key);
  consul.close();
});

/** Watches a key and keeps all that it is told. */
function follow(key: string, through: ConsulClient = consul, more: Partial<WatchOptions<unknown>> = {}) {
  const seen: (string | undefined)[] = [];
  const errors: number[] = [];
  let healthy = 0;
  const watch = watchKey(through, key, {
    onChange: (entry) => void seen.push(entry?.value),
    onError: (_error, retryInMs) => void errors.push(retryInMs),
    onHealthy: () => {
      healthy += 1;
    },
    ...more,
  });
  closers.push(() => stop(watch));
  return { watch, seen, errors, healthy: () => healthy };
}

async function stop(watch: Watch): Promise<void> {
  watch.stop();
  await watch.stopped;
}

async function throughProxy(): Promise<{ proxy: TcpProxy; client: ConsulClient }> {
  const proxy = await startTcpProxy(consulUrl);
  const client = createConsul({ url: proxy.url, log });
  closers.push(() => proxy.close());
  closers.push(() => client.close());
  return { proxy, client };
}

describe('a watched key', () => {
  test('is told of at once, also while it does not exist, and then at every change', async () => {
    const key = `${prefix}key`;
    const { watch, seen } = follow(key);
    await expect(watch.first).resolves.toBe('answered');
    expect(seen).toEqual([undefined]);
    await consul.kv.put(key, '1');
    await eventually(() => seen.length === 2);
    await consul.kv.put(key, '2');
    await eventually(() => seen.length === 3);
    await consul.kv.delete(key);
    await eventually(() => seen.length === 4);
    expect(seen).toEqual([undefined, '1', '2', undefined]);
  });

  test('is not told of when only its neighbours change, nor when a question comes back without news', async () => {
    const key = `${prefix}quiet`;
    await consul.kv.put(key, '1');
    const { watch, seen } = follow(key, consul, { waitMs: 50 });
    await watch.first;
    for (let i = 0; i < 20; i += 1) await consul.kv.put(`${key}-neighbour`, `${i}`);
    await consul.kv.put(key, 'last');
    await eventually(() => seen.at(-1) === 'last');
    expect(seen).toEqual(['1', 'last']);
  });

  test('may be skipped over when it changes faster than it is read, but ends at its last value', async () => {
    const key = `${prefix}busy`;
    const { watch, seen } = follow(key);
    await watch.first;
    for (let i = 1; i <= 100; i += 1) await consul.kv.put(key, `${i}`);
    await eventually(() => seen.at(-1) === '100');
    const numbers = seen.slice(1).map(Number);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  });

  test('goes on being watched when its handler fails', async () => {
    const key = `${prefix}failing-handler`;
    const values: (string | undefined)[] = [];
    const { watch } = follow(key, consul, {
      onChange: (entry) => {
        values.push((entry as { value: string } | undefined)?.value);
        throw new Error('bug');
      },
    });
    await watch.first;
    await consul.kv.put(key, '1');
    await eventually(() => values.at(-1) === '1');
  });

  test('does not have its handler called again before it has returned', async () => {
    const key = `${prefix}slow-handler`;
    let running = 0;
    let most = 0;
    let calls = 0;
    const { watch } = follow(key, consul, {
      onChange: async () => {
        running += 1;
        most = Math.max(most, running);
        await consul.kv.get(key);
        running -= 1;
        calls += 1;
      },
    });
    await watch.first;
    await consul.kv.put(key, '1');
    await eventually(() => calls === 2);
    await consul.kv.put(key, '2');
    await eventually(() => calls === 3);
    expect(most).toBe(1);
  });
});

test('a watched prefix is told of as a whole, with the index that compare-and-swap needs', async () => {
  const folder = `${prefix}folder/`;
  await consul.kv.put(`${folder}a`, '1');
  const seen: Map<string, { value: string; modifyIndex: number }>[] = [];
  const watch = watchPrefix(consul, folder, { onChange: (entries) => void seen.push(entries) });
  closers.push(() => stop(watch));
  await watch.first;
  await consul.kv.put(`${folder}b`, '2');
  await eventually(() => seen.at(-1)?.size === 2);
  const { modifyIndex = 0 } = seen.at(-1)?.get(`${folder}a`) ?? {};
  await expect(consul.kv.put(`${folder}a`, '3', { cas: modifyIndex })).resolves.toBe(true);
  await eventually(() => seen.at(-1)?.get(`${folder}a`)?.value === '3');
  await consul.kv.delete(`${folder}a`);
  await eventually(() => seen.at(-1)?.size === 1);
});

test('fifty watches and short calls do not wait for each other', async () => {
  const keys = Array.from({ length: 50 }, (_, i) => `${prefix}many/${i}`);
  const followed = keys.map((key) => follow(key));
  await Promise.all(followed.map(({ watch }) => watch.first));
  await Promise.all(keys.map((key) => consul.kv.put(key, key)));
  await eventually(() => followed.every(({ seen }, i) => seen.at(-1) === keys[i]));
});

describe('stopping', () => {
  test('leaves no socket, whether a question is open or the watch pauses after an error', async () => {
    const { proxy, client } = await throughProxy();
    const { watch } = follow(`${prefix}stop`, client);
    await watch.first;
    await eventually(() => proxy.connections() === 1);
    await stop(watch);
    await eventually(() => proxy.connections() === 0);

    await proxy.refuse();
    const failing = follow(`${prefix}stop`, client);
    await eventually(() => failing.errors.length > 2);
    await stop(failing.watch);
    await expect(failing.watch.first).resolves.toBe('stopped');
  });

  test("by the caller's signal calls nobody any more", async () => {
    const key = `${prefix}signal`;
    const stopping = new AbortController();
    const { watch, seen } = follow(key, consul, { signal: stopping.signal });
    await watch.first;
    stopping.abort();
    await watch.stopped;
    await consul.kv.put(key, '1');
    await consul.kv.get(key, { consistent: true });
    expect(seen).toEqual([undefined]);
  });
});

describe('Consul that cannot be reached', () => {
  test('is tried until it is back, with growing pauses; then the present value is told of, once', async () => {
    const key = `${prefix}away`;
    await consul.kv.put(key, '1');
    const { proxy, client } = await throughProxy();
    const { watch, seen, errors, healthy } = follow(key, client);
    await watch.first;
    expect(healthy()).toBe(1);
    await proxy.refuse();
    await eventually(() => errors.length >= 4);
    expect(errors[0]).toBeLessThanOrEqual(100);
    expect(Math.max(...errors)).toBeLessThanOrEqual(5000);
    await consul.kv.put(key, '2');
    await proxy.pass();
    await eventually(() => seen.at(-1) === '2');
    expect(seen).toEqual(['1', '2']);
    expect(healthy()).toBe(2);
  });

  test('is told of as healthy again though nothing has changed', async () => {
    const { proxy, client } = await throughProxy();
    const { watch, seen, errors, healthy } = follow(`${prefix}unchanged`, client);
    await watch.first;
    proxy.cut();
    await eventually(() => healthy() === 2);
    expect(errors).toHaveLength(1);
    expect(seen).toHaveLength(1);
  });

  test('when it is started later than we, is found', async () => {
    const key = `${prefix}late`;
    const { proxy, client } = await throughProxy();
    await proxy.refuse();
    const { watch, errors } = follow(key, client);
    await eventually(() => errors.length > 1);
    await proxy.pass();
    await expect(watch.first).resolves.toBe('answered');
  });

  test('and says nothing of it, as in a partition, is given up a little after the wait is over', async () => {
    const key = `${prefix}stalled`;
    const { proxy, client } = await throughProxy();
    const { watch, seen, errors } = follow(key, client, { waitMs: 100, graceMs: 100 });
    await watch.first;
    await proxy.stall();
    await eventually(() => errors.length > 0);
    await consul.kv.put(key, '1');
    await proxy.pass();
    await eventually(() => seen.at(-1) === '1');
  });
});
