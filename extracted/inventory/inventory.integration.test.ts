import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createConsul } from '@strangler/platform/consul/client.ts';
import { watchService } from '@strangler/platform/consul/watch.ts';
import { createBalancedGrpcClient } from '@strangler/platform/grpc/balanced-client.ts';
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
  afterAll(async () => {
    cut?.signal('SIGKILL');
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
