import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createConsul } from '@strangler/platform/consul/client.ts';
import { createGrpcClient } from '@strangler/platform/grpc/client.ts';
import { createLog } from '@strangler/platform/log.ts';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { catalogPackageName, catalogProtoPath } from './grpc/server.ts';
import { startTestCatalog, startTestIssuer, type TestCatalog } from './testing/catalog.ts';

const log = createLog({ name: 'test', level: 'silent' });

describe('a catalogue whose Redis goes away', () => {
  let redis: TcpProxy;
  let catalog: TestCatalog;
  beforeAll(async () => {
    redis = await startTcpProxy(testServers().redisUrl);
    catalog = await startTestCatalog('redis_away', { REDIS_URL: redis.url, CACHE_TIMEOUT: '20' });
  });
  afterAll(async () => {
    await catalog?.stop();
    await redis?.close();
  });

  test.each(['stall', 'refuse'] as const)('is ready and serves reads and writes (%s)', async (how) => {
    const token = await catalog.issuer.token(1, 'admin');
    await catalog.send('GET', '/api/products/1');
    await redis[how]();
    expect((await catalog.send('GET', '/health/ready')).status).toBe(200);
    for (let price = 1; price < 20; price += 1) {
      const patched = await catalog.send('PATCH', '/api/products/1', {
        token,
        headers: { 'if-match': '*' },
        body: { price_cents: price },
      });
      expect(patched.status).toBe(200);
      expect((await catalog.send('GET', '/api/products/1')).text).toBe(patched.text);
      const list = (await catalog.send('GET', '/api/products?sort=price&limit=1')).body;
      expect(list).toMatchObject({ items: [{ id: 1, price_cents: price }] });
    }
    await redis.pass();
    await eventually(() => expect(catalog.invalidation.owing()).toBe(false));
    await eventually(async () => {
      const before = await hits(catalog);
      expect((await catalog.send('GET', '/api/products/1')).body).toMatchObject({ price_cents: 19 });
      expect(await hits(catalog)).toBeGreaterThan(before);
    });
  });
});

async function hits(catalog: Pick<TestCatalog, 'send'>): Promise<number> {
  const text = (await catalog.send('GET', '/metrics')).text;
  return Number(/^catalog_cache_reads_total\{kind="product",outcome="hit".*\} (\d+)$/m.exec(text)?.[1] ?? 0);
}

describe('a catalogue whose database goes away', () => {
  test('is not ready, asks clients to come back, and still answers what is in the cache', async () => {
    const catalog = await startTestCatalog('db_away');
    const line = await startTcpProxy(catalog.database.url);
    try {
      const cut = await catalog.another({ DATABASE_URL: line.url });
      const grpc = createGrpcClient({
        address: cut.grpc.address,
        protoPath: catalogProtoPath,
        packageName: catalogPackageName,
        serviceName: 'Catalog',
        deadlineMs: 10_000,
      });
      const cached = await cut.send('GET', '/api/products/1');
      // Until Redis is connected nothing is kept.
      await eventually(async () => {
        await cut.send('GET', '/api/products/1');
        expect(await hits(cut)).toBeGreaterThan(0);
      });
      await line.refuse();
      await eventually(async () => expect((await cut.send('GET', '/health/ready')).status).toBe(503));
      expect((await cut.send('GET', '/health/live')).status).toBe(200);
      const away = await cut.send('GET', '/api/products/2');
      expect([away.status, away.headers.get('retry-after')]).toEqual([503, '1']);
      expect((await cut.send('GET', '/api/products/1')).text).toBe(cached.text);
      await expect(grpc.call('GetProduct', { id: 3 })).rejects.toMatchObject({ statusName: 'UNAVAILABLE' });
      await expect(grpc.call('BatchGetProducts', { ids: [3] })).rejects.toMatchObject({ statusName: 'UNAVAILABLE' });
      const token = await catalog.issuer.token(1, 'admin');
      const write = await cut.send('PATCH', '/api/products/1', { token, headers: { 'if-match': '*' }, body: {} });
      expect(write.status).toBe(503);
      await line.pass();
      await eventually(async () => expect((await cut.send('GET', '/health/ready')).status).toBe(200));
      expect((await cut.send('GET', '/api/products/2')).status).toBe(200);
      grpc.close();
    } finally {
      await catalog.stop();
      await line.close();
    }
  });
});

describe('two instances side by side', () => {
  let catalog: TestCatalog;
  beforeAll(async () => {
    catalog = await startTestCatalog('instances');
  });
  afterAll(() => catalog?.stop());

  test('a write to one is seen by the next read of the other, however warm its cache is', async () => {
    const other = await catalog.another();
    const token = await catalog.issuer.token(1, 'admin');
    for (let price = 1; price <= 10; price += 1) {
      for (const path of ['/api/products/1', '/api/products?limit=2', '/api/categories']) await other.send('GET', path);
      const patched = await catalog.send('PATCH', '/api/products/1', {
        token,
        headers: { 'if-match': '*' },
        body: { price_cents: price },
      });
      expect((await other.send('GET', '/api/products/1')).text).toBe(patched.text);
      const list = await other.send('GET', '/api/products?sort=price&limit=1');
      expect(list.body).toMatchObject({ items: [{ price_cents: price }] });
    }
  });

  test('both are in Consul with their gRPC ports, and one that stops leaves before it drains', async () => {
    const { consulUrl } = testServers();
    const consul = createConsul({ url: consulUrl, log });
    const ids = ['a', 'b'].map((letter) => `catalog-${catalog.database.name}-${letter}`);
    const instances = [];
    for (const id of ids) instances.push(await catalog.another({ CONSUL_URL: consulUrl, SERVICE_ID: id }));
    const registered = async () => {
      const all = await (await fetch(`${consulUrl}/v1/health/service/catalog?passing=true`)).json();
      return (all as { Service: { ID: string; Port: number; Meta: Record<string, string> } }[])
        .map(({ Service }) => Service)
        .filter(({ ID }) => ids.includes(ID));
    };
    await eventually(async () => expect(await registered()).toHaveLength(2));
    for (const { ID, Port, Meta } of await registered()) {
      const instance = instances[ids.indexOf(ID)];
      expect(Port).toBe(instance?.server.port);
      expect(Meta).toMatchObject({ grpc_port: String(instance?.grpc.port) });
    }
    await instances[0]?.lifecycle.stop('test');
    await eventually(async () => expect((await registered()).map(({ ID }) => ID)).toEqual([ids[1]]));
    consul.close();
  });
});

describe('access tokens', () => {
  let catalog: TestCatalog;
  beforeAll(async () => {
    catalog = await startTestCatalog('tokens');
  });
  afterAll(() => catalog?.stop());

  const attempt = (token: string) => catalog.send('POST', '/api/categories', { token, body: {} });

  test('are checked with keys that are fetched once', async () => {
    const token = await catalog.issuer.token(1, 'admin');
    for (let n = 0; n < 10; n += 1) expect((await attempt(token)).status).toBe(400);
    expect(catalog.issuer.requests().jwks).toBe(1);
  });

  test('of a new key are good without a restart, and those of the old one stay so', async () => {
    const old = await catalog.issuer.token(1, 'admin');
    await catalog.issuer.rotate();
    const rotated = await catalog.issuer.token(1, 'admin');
    await eventually(async () => expect((await attempt(rotated)).status).toBe(400));
    expect((await attempt(old)).status).toBe(400);
  });

  test('of keys that nobody knows are refused, and are no load on the issuer', async () => {
    const stranger = await startTestIssuer();
    const unknown = await stranger.token(1, 'admin');
    await stranger.stop();
    const before = catalog.issuer.requests().jwks;
    const statuses = [];
    for (let n = 0; n < 50; n += 1) statuses.push((await attempt(unknown)).status);
    expect(new Set(statuses)).toEqual(new Set([401]));
    expect(catalog.issuer.requests().jwks - before).toBeLessThan(10);
  });

  test('are still checked while the issuer is away; one of an unknown key is answered 503 then', async () => {
    const known = await catalog.issuer.token(1, 'admin');
    expect((await attempt(known)).status).toBe(400);
    await catalog.issuer.rotate();
    const unknown = await catalog.issuer.token(1, 'admin');
    await catalog.issuer.stop();
    expect((await attempt(known)).status).toBe(400);
    await eventually(async () => {
      const answer = await attempt(unknown);
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    });
  });
});

describe('the name on a review', () => {
  let catalog: TestCatalog;
  beforeAll(async () => {
    catalog = await startTestCatalog('authors');
  });
  afterAll(() => catalog?.stop());

  const review = async (productId: number, accountId: number) =>
    catalog.send('POST', `/api/products/${productId}/reviews`, {
      token: await catalog.issuer.token(accountId, 'customer'),
      body: { rating: 5, title: 'T', body: 'B' },
    });

  test('is the one that the account has', async () => {
    catalog.issuer.names.set(201, 'Ada');
    const answer = await review(2, 201);
    expect([answer.status, answer.body]).toEqual([
      201,
      expect.objectContaining({ author: { id: 201, display_name: 'Ada' } }),
    ]);
  });

  test('is the last known one while the accounts are away', async () => {
    catalog.issuer.names.delete(201);
    expect((await review(3, 201)).body).toMatchObject({ author: { id: 201, display_name: 'Ada' } });
  });

  test('cannot be made up: a first review then has to wait', async () => {
    expect(await review(3, 202)).toMatchObject({ status: 503 });
  });
});

describe('the program', () => {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));

  test('names every bad variable and exits 2', async () => {
    const { code, stderr } = await run({ PORT: 'x', DATABASE_URL: 'postgres://u:secret@h/d', CACHE_TIMEOUT: '5m' });
    expect(code).toBe(2);
    for (const name of ['PORT', 'DATABASE_URL', 'CACHE_TIMEOUT']) expect(stderr).toContain(name);
    expect(stderr).not.toContain('secret');
  });

  test('answers what is under way and exits 0 on SIGTERM', async () => {
    const catalog = await startTestCatalog('sigterm');
    try {
      const child = spawn(process.execPath, [main], {
        env: {
          ...programEnvironment(),
          PORT: '0',
          GRPC_PORT: '0',
          DATABASE_URL: catalog.database.url,
          REDIS_URL: testServers().redisUrl,
          REDIS_PREFIX: `${catalog.database.name}:`,
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
      const url = await eventually(() => /"url":"([^"]+)"/.exec(output)?.[1] ?? '', { withinMs: 60_000 });
      const answers = Array.from({ length: 20 }, () => fetch(`${url}/api/products`).then(({ status }) => status));
      await Promise.race(answers);
      child.kill('SIGTERM');
      const settled = await Promise.allSettled(answers);
      // A connection that was not accepted before the end is refused; none that was is cut.
      const answered = settled.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
      expect(new Set(answered)).toEqual(new Set([200]));
      expect(await ended).toBe(0);
    } finally {
      await catalog.stop();
    }
  });

  function run(env: Record<string, string>): Promise<{ code: number | null; stderr: string }> {
    const child = spawn(process.execPath, [main], {
      env: { ...programEnvironment(), ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, stderr })));
  }
});
