import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliDecompressSync, createGunzip, gunzipSync, zstdDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { createFileFlagStore } from '@strangler/platform/flags/file-store.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { type ProxyProgram, startProxyProgram } from '../testing/proxy-program.ts';

type Answering = (req: IncomingMessage, res: ServerResponse) => void;

const startSide = async (name: string) => {
  const answers = new Map<string, Answering>();
  const asked: IncomingMessage[] = [];
  const server: Server = createServer((req, res) => {
    asked.push(req);
    const path = req.url!.split('?')[0]!;
    const answer = answers.get(path);
    if (answer !== undefined) answer(req, res);
    else res.setHeader('Content-Type', 'application/json').end(JSON.stringify({ side: name, url: req.url }));
  }).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers,
    asked,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
};

const text = 'A line of text that repeats itself. '.repeat(400);

describe('policies that answer for upstreams or change what they answer', () => {
  let folder: string;
  let monolith: Awaited<ReturnType<typeof startSide>>;
  let catalog: Awaited<ReturnType<typeof startSide>>;
  let program: ProxyProgram;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'answers-'));
    await mkdir(join(folder, 'slices/catalog'), { recursive: true });
    await writeFile(
      join(folder, 'slices/catalog/slice.yaml'),
      'slice: catalog\nservice: catalog\nroutes: [ GET /api/products/:id ]\n',
    );
    await writeFile(
      join(folder, 'gateway.yaml'),
      `policies:
  small: { kind: compress }
  kept: { kind: cache }
  large: { kind: cache, maxBody: 8MiB }
  page:
    kind: aggregate
    parts:
      product: { path: "/api/products/{id}" }
      reviews: { path: "/api/reviews?of={id}&page={?page}", required: false, take: /items, timeout: 400ms, maxBody: 2KiB }
      stock: { path: "/api/stock/{id}", required: false }
  uri:
    kind: versions
    by: uri
    prefix: /api
    versions:
      v1: { deprecated: 2026-01-01, sunset: 2027-01-01, link: "https://example.com/v1", headers: { X-Api: one } }
      v2: { path: /api/second }
  few: { kind: rate-limit, limit: 2, window: 1m, by: [ address ] }
  closed: { kind: ip, deny: [ 127.0.0.0/8 ] }
  guarded:
    kind: aggregate
    parts:
      counted: { path: "/counted/{id}" }
      hidden: { path: "/hidden/{id}", required: false }
  accept: { kind: versions, by: media-type, vendor: shop, versions: { v1: { headers: { X-Api: one } }, v2: { headers: { X-Api: two } } } }
  minute: { kind: cache, fresh: 1m }
  media: { kind: versions, by: media-type, vendor: shop, prefix: /media, versions: { v1: {}, v2: { path: /media/second } } }
routes:
  - { route: GET /large/*, policies: [ large ] }
  - { route: GET /guarded/:id, policies: [ guarded ] }
  - { route: GET /counted/:id, policies: [ few ] }
  - { route: GET /hidden/:id, policies: [ closed ] }
  - { route: GET /versioned/:id, policies: [ accept, minute ] }
  - { route: GET /text/*, policies: [ small, kept ] }
  - { route: GET /pages/:id, policies: [ small, page ] }
  - { route: "* /api/*", policies: [ uri ] }
  - { route: "* /media/*", policies: [ media ] }
`,
    );
    [monolith, catalog] = await Promise.all([startSide('monolith'), startSide('service')]);
    const flags = createFileFlagStore(join(folder, 'flags.json'));
    const toService = { percent: 100, cohorts: [] };
    await changeFlag(flags, 'catalog', (flag) => ({ ...flag, reads: toService }), { by: 'test', reason: '' });
    program = await startProxyProgram({
      MONOLITH_URL: monolith.url,
      STRANGLER_SLICES: join(folder, 'slices'),
      STRANGLER_FLAGS: `file://${join(folder, 'flags.json')}`,
      SERVICES: `catalog=${catalog.url}`,
      GATEWAY_FILE: join(folder, 'gateway.yaml'),
      REDIS_URL: testServers().redisUrl,
      CACHE_TIMEOUT: '2s',
      CLIENT_IDLE_TIMEOUT: '1s',
    });
  });
  afterAll(async () => {
    await program?.stop('SIGKILL');
    monolith?.close();
    catalog?.close();
    await rm(folder, { recursive: true });
  });

  /** The answer as it is on the wire, not decoded. */
  const ask = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    new Promise<{ status: number; headers: IncomingMessage['headers']; body: Buffer }>((resolve, reject) => {
      const asking = request(`${program.url}${path}`, { method, headers }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () =>
          resolve({ status: answer.statusCode!, headers: answer.headers, body: Buffer.concat(chunks) }),
        );
      });
      asking.on('error', reject).end();
    });
  const json = async (path: string, headers: Record<string, string> = {}) => {
    const answer = await ask(path, headers);
    return { ...answer, body: JSON.parse(answer.body.toString()) as Record<string, unknown> };
  };

  test('compresses as the client likes it, from the upstream and from the cache alike', async () => {
    monolith.answers.set('/text/a', (_req, res) => {
      res.writeHead(200, { 'Content-Type': 'text/plain', 'Cache-Control': 'max-age=60', ETag: '"a"' });
      res.end(text);
    });
    const decode = { br: brotliDecompressSync, zstd: zstdDecompressSync, gzip: gunzipSync };
    for (const [coding, decoded] of Object.entries(decode)) {
      const first = await ask('/text/a', { 'accept-encoding': coding });
      expect(first.headers).toMatchObject({ 'content-encoding': coding, etag: 'W/"a"', vary: 'Accept-Encoding' });
      expect(first.body.length).toBeLessThan(text.length / 10);
      expect(decoded(first.body).toString()).toBe(text);
      const kept = await eventually(async () => {
        const answer = await ask('/text/a', { 'accept-encoding': coding });
        expect(answer.headers['cache-status']).toContain('hit');
        return answer;
      });
      expect(decoded(kept.body).toString()).toBe(text);
    }
    const plain = await ask('/text/a');
    expect([plain.headers['content-encoding'], plain.headers.vary, plain.body.toString()]).toEqual([
      ...[undefined, 'Accept-Encoding', text],
    ]);
    const head = await ask('/text/a', { 'accept-encoding': 'gzip' }, 'HEAD');
    expect([head.headers['content-encoding'], head.headers['content-length'], head.body.length]).toEqual([
      ...['gzip', undefined, 0],
    ]);
    // A tag that was weakened on its way still tells that the client has it.
    const again = await ask('/text/a', { 'accept-encoding': 'gzip', 'if-none-match': 'W/"a"' });
    expect([again.status, again.body.length]).toEqual([304, 0]);
  });

  test('what comes bit by bit goes out bit by bit, and events are left alone', async () => {
    const held: (() => void)[] = [];
    monolith.answers.set('/text/slow', (_req, res) => {
      res.writeHead(200, { 'Content-Type': 'text/plain' });
      res.write('first part. ');
      held.push(() => res.end('last part.'));
    });
    let seen = '';
    const whole = new Promise<void>((resolve, reject) => {
      request(`${program.url}/text/slow`, { headers: { 'accept-encoding': 'gzip' } }, (answer) => {
        const out = answer.pipe(createGunzip());
        out.setEncoding('utf8').on('data', (part: string) => {
          seen += part;
        });
        out.on('end', resolve).on('error', reject);
      }).end();
    });
    await eventually(() => seen === 'first part. ');
    held.pop()!();
    await whole;
    expect(seen).toBe('first part. last part.');

    monolith.answers.set('/text/events', (_req, res) => {
      res.writeHead(200, { 'Content-Type': 'text/event-stream' });
      res.end(`data: ${text}\n\n`);
    });
    const events = await ask('/text/events', { 'accept-encoding': 'gzip' });
    expect([events.headers['content-encoding'], events.body.toString()]).toEqual([undefined, `data: ${text}\n\n`]);
  });

  test('a client that does not read what is there for it is cut off', async () => {
    const large = Buffer.alloc(8 * 1024 ** 2, 'x');
    monolith.answers.set('/large/a', (_req, res) => {
      res.writeHead(200, {
        'Content-Type': 'text/plain',
        'Cache-Control': 'max-age=60',
        'Content-Length': large.length,
      });
      res.end(large);
    });
    const socket = connect(Number(new URL(program.url).port), '127.0.0.1');
    socket.on('error', () => {});
    socket.pause().write('GET /large/a HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(async () => expect((await program.status()).workers[0]!.inFlight).toBe(1));
    await eventually(async () => expect((await program.status()).workers[0]!.inFlight).toBe(0));
    socket.destroy();
    // It was read from the upstream for the next one all the same.
    await eventually(async () => {
      const answer = await ask('/large/a');
      expect([answer.headers['cache-status'], answer.body.length]).toEqual([
        expect.stringContaining('hit'),
        large.length,
      ]);
    });
  });

  test('one answer is made of several, each from its own side, with who asks', async () => {
    catalog.answers.set(
      '/api/products/7',
      (req, res) => void res.end(JSON.stringify({ by: req.headers.authorization })),
    );
    monolith.answers.set('/api/reviews', (req, res) => void res.end(JSON.stringify({ items: [req.url] })));
    const whole = await json('/pages/7?page=2', { authorization: 'Bearer x' });
    expect([whole.status, whole.body]).toEqual([
      200,
      {
        product: { by: 'Bearer x' },
        reviews: ['/api/reviews?of=7&page=2'],
        stock: { side: 'monolith', url: '/api/stock/7' },
      },
    ]);
    expect(whole.headers['x-partial']).toBeUndefined();
    const requests = [...monolith.asked, ...catalog.asked].filter(({ url }) => url?.includes('7'));
    expect(new Set(requests.map(({ headers }) => String(headers.traceparent).split('-')[1])).size).toBe(1);
  });

  test('it says what it is without, and is none without what it must have', async () => {
    const partial = async () => {
      const { status, headers, body } = await json('/pages/8');
      expect([status, headers['x-partial'], headers['cache-control'], body._partial, body.reviews]).toEqual([
        ...[200, 'reviews', 'no-store', ['reviews'], null],
      ]);
    };
    for (const answer of [
      (_req, res) => void res.writeHead(500).end('{}'),
      (_req, res) => void res.end('no json'),
      (_req, res) => void res.end('{"other":1}'),
      (_req, res) => void res.end(JSON.stringify({ items: ['x'.repeat(4096)] })),
      () => {},
      (req) => req.socket.destroy(),
    ] as Answering[]) {
      monolith.answers.set('/api/reviews', answer);
      await partial();
    }
    catalog.answers.set('/api/products/8', (_req, res) => void res.writeHead(404).end('{}'));
    expect(await json('/pages/8')).toMatchObject({ status: 404, body: { title: 'Not found' } });
    catalog.answers.set('/api/products/8', (_req, res) => void res.writeHead(503).end('{}'));
    const none = await json('/pages/8');
    expect(none).toMatchObject({ status: 502, body: { detail: expect.stringContaining('"product"') } });
    expect(none.headers['content-type']).toContain('application/problem+json');
    expect(await program.metrics()).toMatch(
      /strangler_aggregate_missing_parts_total\{policy="page",part="reviews",why="late".*\} 1/,
    );
  });

  test('a version in the path is taken out of it, and told of where it is old', async () => {
    const first = await json('/api/v1/products/7?a=b');
    expect(first.body).toEqual({ by: undefined });
    expect(first.headers).toMatchObject({
      deprecation: '@1767225600',
      sunset: 'Fri, 01 Jan 2027 00:00:00 GMT',
      link: '<https://example.com/v1>; rel="deprecation"; type="text/html"',
    });
    expect(catalog.asked.at(-1)).toMatchObject({ url: '/api/products/7?a=b', headers: { 'x-api': 'one' } });
    expect((await json('/api/v2/things?x=1')).body).toEqual({ side: 'monolith', url: '/api/second/things?x=1' });
    expect((await json('/api/things')).body).toEqual({ side: 'monolith', url: '/api/things' });
    const unknown = await json('/api/v3/things');
    expect([unknown.status, unknown.headers['content-type'], unknown.body.detail]).toEqual([
      ...[404, expect.stringContaining('problem+json'), 'Expected a version that there is: v1, v2.'],
    ]);
  });

  test('a version in Accept chooses the upstream path, and is what the answer says it is', async () => {
    const second = await json('/media/x', { accept: 'application/vnd.shop.v2+json' });
    expect(second.body.url).toBe('/media/second/x');
    expect(second.headers).toMatchObject({ 'content-type': 'application/vnd.shop.v2+json', vary: 'Accept' });
    expect(monolith.asked.at(-1)!.headers.accept).toBe('application/json');
    expect((await json('/media/x', { accept: 'application/json; version=1' })).body.url).toBe('/media/x');
    expect((await json('/media/x')).headers.vary).toBe('Accept');
    expect((await json('/media/x', { accept: 'application/vnd.shop.v3+json' })).status).toBe(406);
  });

  test('a part meets the policies of its own route: none is a way past them', async () => {
    const ask = async () => {
      const answer = await fetch(`${program.url}/guarded/7`);
      return { status: answer.status, after: answer.headers.get('retry-after'), body: (await answer.json()) as object };
    };
    monolith.asked.length = 0;
    for (let at = 0; at < 2; at += 1) {
      expect(await ask()).toMatchObject({ status: 200, body: { hidden: null, _partial: ['hidden'] } });
    }
    const third = await ask();
    expect(third).toMatchObject({ status: 429, body: { detail: expect.stringContaining('"counted"') } });
    expect(Number(third.after)).toBeGreaterThan(0);
    expect(monolith.asked.map(({ url }) => url)).toEqual(['/counted/7', '/counted/7']);
  });

  test('what is kept of one version is no answer to another, though both ask the upstream for the same path', async () => {
    monolith.answers.set('/versioned/1', (req, res) => {
      res.setHeader('Content-Type', 'application/json').end(JSON.stringify({ version: req.headers['x-api'] }));
    });
    const ask = async (version: string) => {
      const accept = `application/vnd.shop.${version}+json`;
      const answer = await fetch(`${program.url}/versioned/1`, { headers: { accept } });
      return [((await answer.json()) as { version: string }).version, answer.headers.get('cache-status')];
    };
    expect((await ask('v1'))[0]).toBe('one');
    await eventually(async () => expect((await ask('v1'))[1]).toMatch(/hit/));
    expect((await ask('v2'))[0]).toBe('two');
    expect((await ask('v1'))[0]).toBe('one');
  });
});
