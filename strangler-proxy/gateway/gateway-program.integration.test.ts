import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { hashApiKey, newApiKey } from '@strangler/platform/api-keys.ts';
import { createRedis } from '@strangler/platform/redis.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { rawHttp } from '@strangler/platform/testing/sockets.ts';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { silent } from '../testing/policy-request.ts';
import { type ProxyProgram, startProxyProgram } from '../testing/proxy-program.ts';

const limited = `limited-${crypto.randomUUID().slice(0, 8)}`;
const partnerKey = newApiKey();
let folder: string;
let upstream: Server;
let proxy: ProxyProgram;
let signingKey: CryptoKey;
let published: JWK;
const seen: { url: string; headers: IncomingMessage['headers']; bytes: number }[] = [];
const held: ServerResponse[] = [];

const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
  if (req.url === '/jwks') return void res.end(JSON.stringify({ keys: [published] }));
  const one = { url: req.url ?? '', headers: req.headers, bytes: 0 };
  seen.push(one);
  if (req.url === '/held') return void held.push(res);
  for await (const chunk of req) one.bytes += (chunk as Buffer).length;
  res.setHeader('X-Powered-By', 'Express').setHeader('Access-Control-Allow-Origin', '*');
  if (req.url === '/big') {
    res.write('x'.repeat(600));
    return void res.end('x'.repeat(600));
  }
  if (req.url === '/declared') res.setHeader('Content-Length', '1200');
  res.end(req.url === '/declared' ? 'x'.repeat(1200) : 'here');
};

const gatewayYaml = (maintenance: boolean, jwksUrl: string) => `
policies:
  office: { kind: ip, allow: [ 127.0.0.0/8 ], deny: [ 127.9.9.9/32 ] }
  elsewhere: { kind: ip, allow: [ 10.0.0.0/8 ] }
  pages: { kind: cors, origins: [ https://shop.example ] }
  browser: { kind: security-headers }
  closed: { kind: maintenance, on: ${maintenance}, retryAfter: 2m }
  crowd: { kind: concurrency, max: 1 }
  bodies: { kind: size, request: 1000, answer: 1000 }
  partners: { kind: api-keys, file: keys.yaml, mode: optional }
  tokens: { kind: jwt, jwksUrl: "${jwksUrl}", issuer: shop, audience: api, algorithms: [ EdDSA ] }
  ${limited}: { kind: rate-limit, limit: 2, window: 1h, by: [ user ] }
routes:
  - { route: "* /*", policies: [ browser, pages, office, closed, bodies ] }
  - { route: GET /api/me, policies: [ browser, pages, office, closed, crowd, bodies, partners, tokens, ${limited} ] }
  - { route: GET /held, policies: [ crowd ] }
  - { route: GET /elsewhere, policies: [ elsewhere ] }
  - { route: GET /bare, policies: [] }
`;
const put = (maintenance: boolean) =>
  writeFile(
    join(folder, 'gateway.yaml'),
    gatewayYaml(maintenance, `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/jwks`),
  );
const tokenOf = (sub: string) =>
  new SignJWT({})
    .setProtectedHeader({ alg: 'EdDSA', kid: 'one' })
    .setSubject(sub)
    .setIssuer('shop')
    .setAudience('api')
    .setExpirationTime('5m')
    .sign(signingKey);
const ask = (path: string, init: RequestInit = {}) => fetch(`${proxy.url}${path}`, init);
const metric = async (name: string): Promise<string[]> =>
  (await proxy.metrics()).split('\n').filter((line) => line.startsWith(name));

beforeAll(async () => {
  const pair = await generateKeyPair('EdDSA');
  signingKey = pair.privateKey;
  published = { ...(await exportJWK(pair.publicKey)), kid: 'one', alg: 'EdDSA' };
  folder = await mkdtemp(join(tmpdir(), 'gateway-'));
  upstream = createServer((req, res) => void answer(req, res).catch(() => res.destroy())).listen(0, '127.0.0.1');
  await new Promise((listening) => upstream.once('listening', listening));
  await writeFile(
    join(folder, 'keys.yaml'),
    `keys: [ { name: partner, sha256: ${hashApiKey(partnerKey).toString('hex')} } ]`,
  );
  await put(false);
  proxy = await startProxyProgram({
    MONOLITH_URL: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
    GATEWAY_FILE: join(folder, 'gateway.yaml'),
    REDIS_URL: testServers().redisUrl,
  });
});
afterAll(async () => {
  await proxy?.stop('SIGKILL');
  upstream.closeAllConnections();
  upstream.close();
  await rm(folder, { recursive: true });
  const redis = createRedis({ url: testServers().redisUrl, log: silent });
  await eventually(() => redis.ready());
  for (const key of await redis.client.keys(`gateway:rate:${limited}:*`)) await redis.client.del(key);
  await redis.close();
});

describe('a proxy with policies', () => {
  test('asks for a token, counts by its user, keeps the key to itself, and dresses every answer', async () => {
    const origin = { Origin: 'https://shop.example' };
    const missing = await ask('/api/me', { headers: origin });
    expect([missing.status, missing.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="api"']);
    expect(missing.headers.get('x-content-type-options')).toBe('nosniff');
    expect(missing.headers.get('access-control-allow-origin')).toBe('https://shop.example');
    expect(seen.filter(({ url }) => url === '/api/me')).toEqual([]);

    const headers = { ...origin, Authorization: `Bearer ${await tokenOf('7')}`, 'X-Api-Key': partnerKey };
    const good = await ask('/api/me', { headers });
    expect([good.status, await good.text()]).toEqual([200, 'here']);
    expect(good.headers.get('ratelimit')).toMatch(new RegExp(`^"${limited}";r=1;t=\\d+$`));
    expect(good.headers.get('access-control-allow-origin')).toBe('https://shop.example');
    expect([good.headers.get('vary'), good.headers.get('x-powered-by')]).toEqual(['Origin', null]);
    const [received] = seen.filter(({ url }) => url === '/api/me');
    expect([received?.headers['x-api-key'], received?.headers.authorization]).toEqual([
      undefined,
      headers.Authorization,
    ]);

    expect((await ask('/api/me', { method: 'HEAD', headers })).status).toBe(200);
    const third = await ask('/api/me', { headers });
    expect([third.status, third.headers.get('content-type')]).toEqual([429, 'application/problem+json; charset=utf-8']);
    expect(Number(third.headers.get('retry-after'))).toBeGreaterThan(0);
    const other = await ask('/api/me', { headers: { Authorization: `Bearer ${await tokenOf('8')}` } });
    expect(other.status).toBe(200);
    expect((await ask('/api/me', { headers: { ...headers, 'X-Api-Key': newApiKey() } })).status).toBe(401);
    expect(await metric('strangler_gateway_refusals_total')).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/policy="tokens",route="GET \/api\/me",status="401"/),
        expect.stringMatching(new RegExp(`policy="${limited}",route="GET /api/me",status="429"`)),
      ]),
    );
  });

  test('answers preflights, refuses addresses and paths that can be read in two ways, and lets pass where it is told to', async () => {
    const preflight = await ask('/api/me', {
      method: 'OPTIONS',
      headers: { Origin: 'https://shop.example', 'Access-Control-Request-Method': 'GET' },
    });
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([
      204,
      'https://shop.example',
    ]);
    expect((await ask('/elsewhere')).status).toBe(403);
    const { port } = new URL(proxy.url);
    const bytes = 'GET /bare/../api/me HTTP/1.1\r\nHost: shop.test\r\n\r\n';
    expect((await rawHttp({ port: Number(port), bytes })).head?.status).toBe(400);
    const bare = await ask('/bare', { headers: { Origin: 'https://other.example' } });
    expect([bare.status, bare.headers.get('access-control-allow-origin'), bare.headers.get('x-powered-by')]).toEqual([
      200,
      '*',
      'Express',
    ]);
  });

  test('bounds bodies, declared or counted, and answers', async () => {
    const before = seen.length;
    expect((await ask('/upload', { method: 'POST', body: 'x'.repeat(1001) })).status).toBe(413);
    expect(seen.length).toBe(before);
    expect((await ask('/upload', { method: 'POST', body: 'x'.repeat(1000) })).status).toBe(200);
    const { port } = new URL(proxy.url);
    const chunk = `258\r\n${'x'.repeat(600)}\r\n`;
    const bytes = [
      'POST /upload HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n',
      chunk,
      chunk,
      '0\r\n\r\n',
    ];
    expect((await rawHttp({ port: Number(port), bytes, pauseMs: 20 })).head?.status).toBe(413);
    expect((await ask('/declared')).status).toBe(502);
    await expect(ask('/big').then((big) => big.text())).rejects.toThrow();
    expect((await ask('/declared', { method: 'HEAD' })).status).toBe(200);
  });

  test('has room for so many requests, and for the next when one is over', async () => {
    const first = ask('/held');
    await eventually(() => held.length === 1);
    const second = await ask('/held');
    expect([second.status, second.headers.get('retry-after')]).toEqual([503, '1']);
    held.pop()!.end('done');
    expect((await first).status).toBe(200);
    await eventually(async () => (await metric('strangler_gateway_in_flight')).some((line) => line.endsWith(' 0')));
    const third = ask('/held');
    await eventually(() => held.length === 1);
    held.pop()!.end('done');
    expect((await third).status).toBe(200);
  });

  test('obeys a changed file without a restart, keeps the old one where the new one is bad, and says so', async () => {
    await writeFile(join(folder, 'gateway.yaml'), 'policies: { closed: { kind: maintenence } }');
    proxy.child.kill('SIGHUP');
    await eventually(async () =>
      (await metric('strangler_gateway_loads_total')).some((line) =>
        /what="gateway",outcome="refused".* 1$/.test(line),
      ),
    );
    expect(
      proxy.log.some(({ reason }) => /gateway.yaml:1 policies.closed.kind: must be a policy of/.test(`${reason}`)),
    ).toBe(true);
    expect((await ask('/api/me')).status).toBe(401);
    await put(true);
    proxy.child.kill('SIGHUP');
    await eventually(async () => (await ask('/anything')).status === 503);
    const closed = await ask('/anything');
    expect([closed.headers.get('retry-after'), closed.headers.get('x-content-type-options')]).toEqual([
      '120',
      'nosniff',
    ]);
    // A policy that the change did not touch goes on counting.
    expect((await ask('/bare')).status).toBe(200);
  });

  test('does not start with a bad file, and says where it is bad', async () => {
    const file = join(folder, 'bad.yaml');
    await writeFile(file, 'routes: [ { route: GET /a, policies: [ nobody ] } ]');
    const starting = startProxyProgram({ MONOLITH_URL: 'http://127.0.0.1:9', GATEWAY_FILE: file });
    await expect(starting).rejects.toThrow(
      'bad.yaml:1 routes.0.policies.0: must be the name of a policy of this file, found "nobody"',
    );
    const missing = startProxyProgram({ MONOLITH_URL: 'http://127.0.0.1:9', GATEWAY_FILE: join(folder, 'none.yaml') });
    await expect(missing).rejects.toThrow('cannot be read (ENOENT)');
  });
});
