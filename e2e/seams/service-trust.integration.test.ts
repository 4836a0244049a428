import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { catalogPackageName, catalogProtoPath } from '@strangler/catalog/grpc/server.ts';
import { startTestCatalog, type TestCatalog } from '@strangler/catalog/testing/catalog.ts';
import { inventoryPackageName, inventoryProtoPath } from '@strangler/inventory/grpc/server.ts';
import { startTestInventory, type TestInventory } from '@strangler/inventory/testing/inventory.ts';
import { createCatalogueClient } from '@strangler/monolith/modules/catalogue/owner/catalogue-client.ts';
import { createStockClient } from '@strangler/monolith/modules/inventory/owner/stock-client.ts';
import { startTestService, type TestService } from '@strangler/notifications/testing/notifications.ts';
import { paymentsPackageName, paymentsProtoPath } from '@strangler/payments/grpc/server.ts';
import { chargeBody, startTestPayments, type TestPayments } from '@strangler/payments/testing/payments.ts';
import { dryRunHeader } from '@strangler/platform/contracts/dry-run.ts';
import { createGrpcClient } from '@strangler/platform/grpc/client.ts';
import { fixedHttpInstance } from '@strangler/platform/http/instances.ts';
import { createLog } from '@strangler/platform/log.ts';
import { noServiceTrust } from '@strangler/platform/service-trust/config.ts';
import type { KeyFolder } from '@strangler/platform/service-trust/key-folder.ts';
import { openServiceTrust, type ServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';
import { makeKeys } from '@strangler/stack/system/keys.ts';
import { Registry } from 'prom-client';
import WebSocket from 'ws';

const log = createLog({ name: 'service-trust', level: 'silent' });
const closers: (() => unknown)[] = [];
let keys: KeyFolder;
let catalog: TestCatalog;
let inventory: TestInventory;
let payments: TestPayments;
let notifications: TestService;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'service-trust-'));
  closers.push(() => rm(folder, { recursive: true }));
  keys = await makeKeys(folder);
  const env = { SERVICE_TRUST: 'enforce', SERVICE_TRUST_FILE: keys.trustFile };
  const behindProxy = { ...env, SERVICE_API_CALLERS: 'proxy,operator' };
  catalog = await startTestCatalog('trust', env);
  closers.push(() => catalog.stop());
  inventory = await startTestInventory('trust', behindProxy);
  closers.push(() => inventory.stop());
  payments = await startTestPayments('trust', behindProxy);
  closers.push(() => payments.stop());
  notifications = await startTestService('trust', behindProxy);
  closers.push(() => notifications.stop());
}, 120_000);
afterAll(async () => {
  for (const close of closers.reverse()) await close();
}, 60_000);

async function caller(self: string): Promise<ServiceTrust> {
  const config = { ...noServiceTrust, key: { file: keys.keyFile(self) } };
  const lifecycle = {
    onStop: (_phase: string, _name: string, step: (context: never) => unknown) => closers.push(step as () => unknown),
  };
  return await openServiceTrust({ self, config, metrics: new Registry(), log, lifecycle });
}

describe('over gRPC', () => {
  const services = {
    catalog: () => ({
      ...{ address: catalog.grpc.address, protoPath: catalogProtoPath, packageName: catalogPackageName },
      ...{ serviceName: 'Catalog', method: 'GetProduct', request: { id: 1 } },
    }),
    inventory: () => ({
      ...{ address: inventory.grpc.address, protoPath: inventoryProtoPath, packageName: inventoryPackageName },
      ...{ serviceName: 'Inventory', method: 'GetStock', request: { ids: [1] } },
    }),
    payments: () => ({
      ...{ address: payments.grpc.address, protoPath: paymentsProtoPath, packageName: paymentsPackageName },
      ...{ serviceName: 'Payments', method: 'Charge' },
      request: { ...chargeBody(1, 'tok_visa'), idempotency_key: 'key-1' },
    }),
  };

  test.each(Object.keys(services) as (keyof typeof services)[])(
    '%s serves the shop and the orders, and nobody else',
    async (name) => {
      const { method, request, ...of } = services[name]();
      const outcome = async (trust: ServiceTrust | undefined, audience: string = name) => {
        const client = createGrpcClient({
          ...of,
          deadlineMs: 20_000,
          ...(trust ? { trust: trust.grpcClientOf(audience) } : {}),
        });
        return await client
          .call(method, request)
          .then(
            () => 'OK',
            (error) => error.statusName,
          )
          .finally(() => client.close());
      };
      const shop = await caller('shop');
      expect([
        await outcome(undefined),
        await outcome(shop, 'other'),
        await outcome(await caller('proxy')),
        await outcome(await caller('operator')),
        await outcome(await caller('orders')),
        await outcome(shop),
      ]).toEqual(['UNAUTHENTICATED', 'UNAUTHENTICATED', 'PERMISSION_DENIED', 'PERMISSION_DENIED', 'OK', 'OK']);
    },
  );
});

test("the shop's own clients are let in", async () => {
  const trust = await caller('shop');
  const productId = await inventory.product(5);
  const stock = createStockClient({
    ...{ address: inventory.grpc.address, consul: undefined, log },
    trust: trust.grpcClientOf('inventory'),
  });
  closers.push(() => stock.close());
  const lines = [{ productId, quantity: 2 }];
  expect(await stock.reserve({ id: 'r-1', lines, ttlMs: 60_000, accountId: 1 }, 1)).toEqual({ kind: 'RESERVED' });
  expect(await inventory.available(productId)).toBe(3);

  const instances = fixedHttpInstance(catalog.url);
  const products = createCatalogueClient({
    ...{ instances, metrics: new Registry() },
    trustHeaders: () => trust.headersFor('catalog'),
  });
  closers.push(() => products.close());
  const authorization = `Bearer ${await catalog.issuer.token(0, 'admin')}`;
  const answer = await products.send({ method: 'GET', path: '/internal/products?ids=1', headers: { authorization } });
  expect([answer.status, JSON.parse(answer.text).items.length]).toEqual([200, 1]);
});

describe('over HTTP', () => {
  type Send = TestService['send'];
  const routes: [
    name: string,
    method: string,
    path: string,
    allowed: string,
    send: () => Send,
    body: object | undefined,
  ][] = [
    ['catalog', 'GET', '/internal/products?ids=1', 'shop', () => catalog.send as Send, undefined],
    ['catalog', 'GET', '/internal/price-rules/night-1/rule', 'shop', () => catalog.send as Send, undefined],
    ['catalog', 'PUT', '/INTERNAL/price-rules/night-1/rule', 'shop', () => catalog.send as Send, {}],
    ['notifications', 'GET', '/internal/delivery', 'operator', () => notifications.send, undefined],
    ['notifications', 'POST', '/internal/delivery/handovers', 'operator', () => notifications.send, {}],
    ['notifications', 'GET', '/internal/settings', 'operator', () => notifications.send, undefined],
    ['notifications', 'PATCH', '/internal/settings/', 'operator', () => notifications.send, {}],
    ['notifications', 'POST', '/internal/digests', 'operator', () => notifications.send, {}],
  ];
  const admin = async (name: string): Promise<string> =>
    await (name === 'catalog' ? catalog : notifications).issuer.token(1, 'admin');

  test.each(routes)(
    "%s's %s %s is for %s, and besides for administrators",
    async (name, method, path, allowed, send, body) => {
      const token = await admin(name);
      const other = allowed === 'shop' ? 'operator' : 'proxy';
      const ask = async (service: string | undefined, withToken = true) => {
        const headers = service === undefined ? {} : await (await caller(service)).headersFor(name);
        const more = { headers, ...(withToken ? { token } : {}), ...(body === undefined ? {} : { body }) };
        return (await send()(method, path, more)).status;
      };
      expect([await ask(undefined), await ask(other), await ask(allowed, false)]).toEqual([401, 403, 401]);
      // Let in: what is asked for is then right, or wrong, or not there.
      expect([200, 400, 404]).toContain(await ask(allowed));
    },
  );

  test.each(['catalog', 'inventory', 'payments', 'notifications'])(
    '%s makes dry runs for the proxy and operators alone',
    async (name) => {
      const send = { catalog, inventory, payments, notifications }[name]?.send as Send;
      const path = {
        catalog: '/api/products/1',
        inventory: '/api/inventory/1',
        payments: '/api/payments/1',
        notifications: '/api/notifications',
      }[name];
      const ask = async (service: string | undefined) => {
        const headers = {
          [dryRunHeader]: '1',
          ...(service === undefined ? {} : await (await caller(service)).headersFor(name)),
        };
        const { status, body } = await send('GET', path ?? '', { headers });
        return body?.reason ?? (body?.answer === undefined ? status : 'answered');
      };
      expect([await ask(undefined), await ask('shop'), await ask('proxy'), await ask('operator')]).toEqual([
        'service-token-missing',
        'caller-not-allowed',
        'answered',
        'answered',
      ]);
      // Without SERVICE_API_CALLERS the API itself asks for nothing new; with, for the same.
      const told = (await send('GET', path ?? '')).body?.reason;
      expect(told).toBe(name === 'catalog' ? undefined : 'service-token-missing');
    },
  );

  test.each([
    ['inventory', '/api/inventory/1'],
    ['payments', '/API/payments/1'],
    ['notifications', '/api/notifications'],
  ])('%s serves its users through the proxy alone where it is told so, and probes as ever', async (name, path) => {
    const send = { inventory, payments, notifications }[name]?.send as Send;
    const ask = async (service: string | undefined, at = path) => {
      const headers = service === undefined ? {} : await (await caller(service)).headersFor(name);
      const { status, body } = await send('GET', at, { headers });
      return body?.reason ?? status;
    };
    expect([await ask(undefined), await ask('shop')]).toEqual(['service-token-missing', 'caller-not-allowed']);
    // Let through: what the user shows, or does not, decides then.
    for (const service of ['proxy', 'operator']) expect([200, 401, 403, 404]).toContain(await ask(service));
    expect([await ask(undefined, '/health/live'), await ask(undefined, '/metrics')]).toEqual([200, 200]);
  });

  test('a stream of notifications is opened through the proxy alone as well', async () => {
    const refusedWith = async (headers: Record<string, string>) => {
      const url = `${notifications.url.replace('http', 'ws')}/api/notifications/stream`;
      const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}`, ...headers } });
      socket.on('error', () => {});
      return await new Promise<number>((resolve) => {
        socket.once('unexpected-response', (_request, answer) => resolve(answer.statusCode ?? 0));
        socket.once('open', () => {
          socket.terminate();
          resolve(101);
        });
      });
    };
    const token = await notifications.issuer.token(1);
    expect(await refusedWith({})).toBe(401);
    expect(await refusedWith(await (await caller('proxy')).headersFor('notifications'))).toBe(101);
  });
});
