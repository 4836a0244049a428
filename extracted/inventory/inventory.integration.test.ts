import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createConsul } from '@strangler/platform/consul/client.ts';
import { watchService } from '@strangler/platform/consul/watch.ts';
import { createBalancedGrpcClient } from '@strangler/platform/grpc/balanced-client.ts';
import { discoveredGrpcInstances } from '@strangler/platform/grpc/instances.ts';
import { createLog } from '@strangler/platform/log.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { inventoryPackageName, inventoryProtoPath } from './grpc/server.ts';
import { environment, startTestInventory, type TestInventory } from './testing/inventory.ts';
import { type InventoryProcess, startInventoryProcess } from './testing/inventory-process.ts';

type Level = { product_id: number; available: number; version: number };

const log = createLog({ name: 'test', level: 'silent' });
let inventory: TestInventory;
let token: string;

beforeAll(async () => {
  inventory = await startTestInventory('whole');
  token = await inventory.issuer.token(1, 'admin');
});
afterAll(() => inventory?.stop());

const adjust = (productId: number, delta = 1) =>
  inventory.send('POST', `/api/inventory/${productId}/adjustments`, { token, body: { delta, reason: 'r' } });

describe('stock that is watched', () => {
  test('is told as it is, then as it becomes, wherever it is changed, and never backwards', async () => {
    const [a, b] = [await inventory.product(5), await inventory.product()];
    const elsewhere = await inventory.another();
    const seen: Level[] = [];
    const stopping = new AbortController();
    const watching = (async () => {
      const levels = inventory.client.stream<Level>('WatchStock', { ids: [a, b] }, { signal: stopping.signal });
      for await (const level of levels) seen.push(level);
    })();
    watching.catch(() => {});
    const last = (id: number) => seen.findLast(({ product_id }) => product_id === id);
    await eventually(() => last(a)?.available === 5 && last(b)?.version === 0);
    await elsewhere.send('POST', `/api/inventory/${a}/adjustments`, { token, body: { delta: 2, reason: 'r' } });
    await eventually(() => last(a)?.available === 7);
    for (let n = 0; n < 20; n += 1) await adjust(b);
    await eventually(() => last(b)?.available === 20);
    const versions = seen.filter(({ product_id }) => product_id === b).map(({ version }) => version);
    expect(versions).toEqual(versions.toSorted((x, y) => x - y));
    stopping.abort(new Error('enough'));
    await expect(watching).rejects.toThrow('enough');
    await eventually(() => inventory.grpc.inFlight() === 0);
  });

  test('is told to a slow reader at most once each, and the newest in the end: what was in between is dropped and counted', async () => {
    const ids: number[] = [];
    for (let n = 0; n < 200; n += 1) ids.push(await inventory.product(1));
    const reading = inventory.client.stream<Level>('WatchStock', { ids })[Symbol.asyncIterator]();
    const seen: Level[] = [(await reading.next()).value as Level];
    // Nobody reads on: what is told fills the buffers on the way, and then only the newest of each is kept.
    const dropped = async () => {
      const text = await inventory.metrics.getSingleMetricAsString('inventory_stock_watch_dropped_total');
      return Number(/^inventory_stock_watch_dropped_total(?:\{.*\})? (\d+)/m.exec(text)?.[1]);
    };
    let changes = 0;
    await eventually(async () => {
      await inventory.db.query(
        'UPDATE stock_levels SET available = available + 1, version = version + 1 WHERE product_id IN (?)',
        [ids],
      );
      changes += 1;
      return (await dropped()) > 0;
    });
    const newest = (id: number) => seen.findLast(({ product_id }) => product_id === id)?.version;
    while (ids.some((id) => newest(id) !== 1 + changes)) seen.push((await reading.next()).value as Level);
    for (const id of ids) {
      const versions = seen.filter(({ product_id }) => product_id === id).map(({ version }) => version);
      expect(versions).toEqual([...new Set(versions)].sort((x, y) => x - y));
    }
    expect(seen.length).toBeLessThan(ids.length * (1 + changes));
    await reading.return?.();
    await eventually(() => inventory.grpc.inFlight() === 0);
  });

  test('is refused for ids that are none', async () => {
    const levels = inventory.client.stream('WatchStock', { ids: [0] })[Symbol.asyncIterator]();
    await expect(levels.next()).rejects.toMatchObject({ statusName: 'INVALID_ARGUMENT' });
  });

  test('goes on at another instance when its own stops: the stream ends with a clear status', async () => {
    const productId = await inventory.product(1);
    const leaving = await inventory.another();
    const addresses = [leaving.grpc.address];
    const client = createBalancedGrpcClient({
      instances: { now: () => addresses, first: Promise.resolve(), stop: async () => {} },
      protoPath: inventoryProtoPath,
      packageName: inventoryPackageName,
      serviceName: 'Inventory',
      deadlineMs: 60_000,
    });
    const seen: Level[] = [];
    const reasons: string[] = [];
    const stopping = new AbortController();
    const following = (async () => {
      const onReopen = (reason: { details: string } | 'ended') =>
        void reasons.push(reason === 'ended' ? reason : reason.details);
      const levels = client.follow<Level>('WatchStock', { ids: [productId] }, { signal: stopping.signal, onReopen });
      for await (const level of levels) seen.push(level);
    })();
    following.catch(() => {});
    await eventually(() => seen.length === 1);
    addresses.push(inventory.grpc.address);
    const began = performance.now();
    await leaving.lifecycle.stop('test');
    // It did not wait for streams that nobody would ever have ended.
    expect(performance.now() - began).toBeLessThan(5_000);
    await adjust(productId);
    await eventually(() => seen.at(-1)?.available === 2);
    expect(reasons[0]).toBe('this instance is stopping; watch again at another');
    stopping.abort(new Error('enough'));
    await expect(following).rejects.toThrow('enough');
    client.close();
  });
});

describe('an instance', () => {
  let line: TcpProxy;
  let cut: InventoryProcess;
  const started: InventoryProcess[] = [];
  afterAll(async () => {
    for (const one of [cut, ...started]) one?.signal('SIGKILL');
    await line?.close();
  });

  test('is found in Consul by its gRPC port, is taken out when it stops, and exits 0', async () => {
    const { consulUrl } = testServers();
    const consul = createConsul({ url: consulUrl, log });
    const id = `inventory-test-${process.pid}`;
    const process_ = await startInventoryProcess({
      ...environment(inventory.database.url, inventory.issuer.url),
      CONSUL_URL: consulUrl,
      SERVICE_ID: id,
    });
    let present: string[] = [];
    const watch = watchService(consul, 'inventory', {
      onChange: (instances) => {
        present = instances.map(({ address, meta }) => `${address}:${meta.grpc_port}`);
      },
    });
    await eventually(() => present.includes(process_.address));
    process_.signal('SIGTERM');
    expect(await process_.exited).toBe(0);
    await eventually(() => !present.includes(process_.address));
    watch.stop();
    await watch.stopped;
    await consul.close();
  });

  test('drains while it is called and watched: calls go on at the other that Consul knows, none fails, none is done twice', async () => {
    const { consulUrl } = testServers();
    const consul = createConsul({ url: consulUrl, log });
    const start = (n: number) =>
      startInventoryProcess({
        ...environment(inventory.database.url, inventory.issuer.url),
        ...{ CONSUL_URL: consulUrl, SERVICE_ID: `inventory-pair-${process.pid}-${n}` },
      });
    const both = await Promise.all([start(1), start(2)]);
    started.push(...both);
    const instances = discoveredGrpcInstances({ consul, service: 'inventory', log });
    await eventually(() => both.every(({ address }) => instances.now().includes(address)));
    const client = createBalancedGrpcClient({
      ...{ instances, protoPath: inventoryProtoPath, packageName: inventoryPackageName },
      ...{ serviceName: 'Inventory', deadlineMs: 30_000 },
    });
    const stock = 100_000;
    const productId = await inventory.product(stock);

    const stopping = new AbortController();
    const seen: Level[] = [];
    const reopened: string[] = [];
    const watching = (async () => {
      const onReopen = (why: { details: string } | 'ended') => void reopened.push(why === 'ended' ? why : why.details);
      const levels = client.follow<Level>('WatchStock', { ids: [productId] }, { signal: stopping.signal, onReopen });
      for await (const level of levels) seen.push(level);
    })();
    watching.catch(() => {});
    await eventually(() => seen.length > 0);

    let isOver = false;
    let taken = 0;
    const failures: unknown[] = [];
    const lines = [{ product_id: productId, quantity: 1 }];
    const call = async (): Promise<void> => {
      while (!isOver) {
        const request = { reservation_id: randomUUID(), lines, ttl_ms: 600_000, cause: {} };
        await client.call('Reserve', request, { idempotent: true }).then(
          () => {
            taken += 1;
          },
          (error) => failures.push(error),
        );
      }
    };
    const calling = Array.from({ length: 6 }, call);
    const figure = async ({ url }: InventoryProcess, pattern: RegExp) => {
      const text = await (await fetch(`${url}/metrics`)).text();
      return [...text.matchAll(pattern)].reduce((sum, [, value]) => sum + Number(value), 0);
    };
    const served = () =>
      Promise.all(both.map((one) => figure(one, /^inventory_reservation_calls_total\{.*\} (\d+)$/gm)));
    await eventually(async () => (await served()).every((calls) => calls >= 20));

    const watched = await Promise.all(both.map((one) => figure(one, /^inventory_stock_watches(?:\{.*\})? (\d+)$/gm)));
    expect(watched.toSorted()).toEqual([0, 1]);
    const leaving = both[watched.indexOf(1)] as InventoryProcess;
    leaving.signal('SIGTERM');
    expect(await leaving.exited).toBe(0);
    const then = taken;
    await eventually(() => taken >= then + 30);
    isOver = true;
    await Promise.all(calling);
    expect(failures).toEqual([]);
    expect(await inventory.available(productId)).toBe(stock - taken);
    await eventually(() => seen.at(-1)?.available === stock - taken);
    expect(reopened[0]).toBe('this instance is stopping; watch again at another');
    const versions = seen.map(({ version }) => version);
    expect(versions).toEqual(versions.toSorted((x, y) => x - y));

    stopping.abort(new Error('enough'));
    await expect(watching).rejects.toThrow('enough');
    client.close();
    await instances.stop();
    for (const one of both) one.signal('SIGTERM');
    await Promise.all(both.map(({ exited }) => exited));
    await consul.close();
  }, 60_000);

  test('whose database is away is not ready and says so: 503, UNAVAILABLE', async () => {
    line = await startTcpProxy(inventory.database.url);
    cut = await startInventoryProcess(environment(line.url, inventory.issuer.url));
    const ready = async () => (await fetch(`${cut.url}/health/ready`)).status;
    expect(await ready()).toBe(200);
    await line.refuse();
    await eventually(async () => (await ready()) === 503);
    const answer = await fetch(`${cut.url}/api/inventory/1`);
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    const client = createBalancedGrpcClient({
      instances: { now: () => [cut.address], first: Promise.resolve(), stop: async () => {} },
      protoPath: inventoryProtoPath,
      packageName: inventoryPackageName,
      serviceName: 'Inventory',
      deadlineMs: 30_000,
    });
    await expect(client.call('GetStock', { ids: [1] })).rejects.toMatchObject({ statusName: 'UNAVAILABLE' });
    const lines = [{ product_id: 1, quantity: 1 }];
    const reserving = client.call('Reserve', { reservation_id: 'away', lines, ttl_ms: 1_000 });
    await expect(reserving).rejects.toMatchObject({ statusName: 'UNAVAILABLE' });
    client.close();
  });
});
