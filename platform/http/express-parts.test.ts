import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import express, { Router } from 'express';
import { createLog } from '../log.ts';
import { eventually, rawHttp } from '../testing/servers.ts';
import { type HealthCheck, healthRouter } from './health.ts';
import { createMetrics, httpMetrics, metricsRoute } from './metrics.ts';
import { noSuchRoute, Problem, problemResponder, problems } from './problem.ts';
import { currentRequest, requestContext } from './request-context.ts';
import { type RunningServer, startHttpServer } from './server.ts';

let lines: Record<string, unknown>[] = [];
let running: RunningServer;
let draining = false;
let checks: Record<string, HealthCheck> = {};

beforeEach(async () => {
  lines = [];
  draining = false;
  checks = {};
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const log = createLog({ name: 'test', level: 'debug', destination });
  const registry = createMetrics({ service: 'test' });
  const app = express();
  app.use(httpMetrics(registry), requestContext());
  app.get('/metrics', metricsRoute(registry));
  app.use((req, res, next) => healthRouter({ checks, draining: () => draining, timeoutMs: 200 })(req, res, next));
  app.use(express.json({ limit: 100 }));
  const products = Router();
  products.get('/:id', (req, res) => void res.json({ id: req.params.id, requestId: currentRequest()?.requestId }));
  products.post('/', (req, res) => void res.json(req.body));
  products.delete('/:id', () => {
    throw new Error('the password is hunter2');
  });
  app.use('/api/products', products);
  app.use(
    '/shops/:shop/items',
    Router({ mergeParams: true }).get('/:id', (_req, res) => void res.json({})),
  );
  app.get('/problem', () => {
    throw new Problem({
      status: 409,
      type: 'https://example.test/taken',
      title: 'Taken',
      detail: 'Somebody was faster.',
      headers: { 'x-hint': 'later' },
      extensions: { holder: 7, status: 200 },
    });
  });
  app.get('/busy', (_req, _res, next) => next(problems.unavailable(1.2)));
  app.get('/half', (_req, res) => {
    res.writeHead(200, { 'content-length': '10' });
    res.write('half');
    throw new Error('broken off');
  });
  app.get('/late', (_req, res) => {
    res.json({ whole: true });
    throw new Error('too late');
  });
  app.get('/abort', () => {});
  app.use(noSuchRoute());
  app.use(problemResponder(log));
  running = await startHttpServer({ handler: app, host: '127.0.0.1', port: 0, log });
});
afterEach(() => running.drain(1_000));

const get = (path: string, init?: RequestInit) => fetch(`${running.url}${path}`, init);

describe('problemResponder', () => {
  test('answers a problem as problem+json with its headers, its type and its extensions', async () => {
    const answer = await get('/problem');
    expect(answer.status).toBe(409);
    expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    expect(answer.headers.get('x-hint')).toBe('later');
    expect(await answer.json()).toEqual({
      type: 'https://example.test/taken',
      title: 'Taken',
      status: 409,
      detail: 'Somebody was faster.',
      holder: 7,
    });
    expect((await get('/busy')).headers.get('retry-after')).toBe('2');
  });

  test('says nothing of an unexpected error but the id under which the log has it', async () => {
    const answer = await get('/api/products/7?access_token=abc', {
      method: 'DELETE',
      headers: { 'x-request-id': 'r-7' },
    });
    expect(answer.status).toBe(500);
    expect(await answer.json()).toEqual({
      type: 'about:blank',
      title: 'Internal Server Error',
      status: 500,
      detail: 'Something went wrong on our side.',
      instance: 'r-7',
    });
    expect(lines).toContainEqual(
      expect.objectContaining({
        level: 'error',
        requestId: 'r-7',
        request: { method: 'DELETE', path: '/api/products/7' },
        err: expect.objectContaining({ stack: expect.stringContaining('hunter2') }),
      }),
    );
  });

  const json = { 'content-type': 'application/json' };
  test.each<[string, number, RequestInit]>([
    ['too large', 413, { body: JSON.stringify('x'.repeat(200)), headers: json }],
    ['not JSON', 400, { body: '{"a":', headers: json }],
    ['in an unknown encoding', 415, { body: '{}', headers: { ...json, 'content-encoding': 'pigeon' } }],
    ['in an unknown charset', 415, { body: '{}', headers: { 'content-type': 'application/json; charset=klingon' } }],
    ['a bomb', 413, { body: gzipSync(`"${'x'.repeat(1e6)}"`), headers: { ...json, 'content-encoding': 'gzip' } }],
  ])('answers a body that is %s with %d', async (_what, status, init) => {
    const answer = await get('/api/products', { method: 'POST', ...init });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(await answer.json()).toMatchObject({ status, detail: expect.any(String) });
  });

  test('answers a path that does not decode with 400 and an unknown one with 404', async () => {
    expect((await get('/api/products/%ff')).status).toBe(400);
    const answer = await get('/nowhere?token=abc');
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ detail: 'No such route: GET /nowhere' });
  });

  test('cuts the connection when the answer had begun, so that a part is not taken for the whole', async () => {
    const { text, ended } = await rawHttp({ port: running.port, bytes: 'GET /half HTTP/1.1\r\nhost: a\r\n\r\n' });
    expect(ended).toMatch(/closed|reset/);
    expect(text).not.toContain('problem');
  });

  test('never answers twice: an error after the answer is only logged', async () => {
    const bytes = 'GET /late HTTP/1.1\r\nhost: a\r\n\r\nGET /late HTTP/1.1\r\nhost: a\r\n\r\n';
    const { statuses, body } = await rawHttp({ port: running.port, bytes, answers: 2 });
    expect(statuses).toEqual([200, 200]);
    expect(body).toBe('{"whole":true}');
    expect(lines.filter(({ level }) => level === 'error')).toHaveLength(2);
  });
});

test('the request id goes to the handler and back to the client', async () => {
  const answer = await get('/api/products/1', { headers: { 'x-request-id': 'abc' } });
  expect(answer.headers.get('x-request-id')).toBe('abc');
  expect(await answer.json()).toEqual({ id: '1', requestId: 'abc' });
});

describe('metrics', () => {
  const scrape = async () => (await get('/metrics')).text();
  const routesIn = (text: string) => [...new Set([...text.matchAll(/route="([^"]*)"/g)].map(([, route]) => route))];

  test('count requests by method, route template and status class, never by the path', async () => {
    await get('/api/products/4711');
    await get('/api/products/4712', { method: 'DELETE' });
    await get('/api/products/4713', { method: 'PROPFIND' });
    await get('/shops/99/items/4714');
    await get('/nowhere/4715');
    const text = await eventually(async () => {
      const now = await scrape();
      return now.includes('route="none"') && now;
    });
    expect(routesIn(text).join()).not.toMatch(/471/);
    expect(text).toContain(
      'http_request_duration_seconds_count{service="test",method="GET",route="/api/products/:id",status_class="2xx"} 1',
    );
    expect(text).toContain('{service="test",method="DELETE",route="/api/products/:id",status_class="5xx"} 1');
    expect(text).toContain('{service="test",method="other",route="none",status_class="4xx"} 1');
    expect(text).toContain('route="/shops/:param/items/:id"');
    expect(text).toMatch(/process_cpu_seconds_total|nodejs_eventloop_lag_seconds/);
  });

  test('count a client that went away as aborted, and requests in flight down to the one that asks', async () => {
    const controller = new AbortController();
    const hanging = get('/abort', { signal: controller.signal }).catch(() => {});
    await eventually(async () => expect(await scrape()).toContain('http_requests_in_flight{service="test"} 2'));
    controller.abort();
    await hanging;
    await eventually(async () => expect(await scrape()).toContain('route="/abort",status_class="aborted"'));
    expect(await scrape()).toContain('http_requests_in_flight{service="test"} 1');
  });

  test('are bounded in number, whatever clients ask for', async () => {
    for (let i = 0; i < 300; i += 1)
      await get(
        `/shops/${'abcdefghij'[i % 10]}${'klmnopqrst'[Math.floor(i / 10) % 10]}${'uvw'[Math.floor(i / 100)]}/items/1`,
      );
    const text = await scrape();
    expect(routesIn(text).length).toBeLessThanOrEqual(258);
    expect(text).toContain('route="other"');
  });
});

describe('health', () => {
  test('is live and ready while every check passes', async () => {
    checks = { mysql: async () => {} };
    expect((await get('/health/live')).status).toBe(200);
    const answer = await get('/health/ready');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(await answer.json()).toEqual({ status: 'ready', checks: { mysql: 'ok' } });
  });

  test('is not ready, naming what fails or hangs, without passwords, and stays live', async () => {
    checks = {
      mysql: async () => {
        throw new Error('connect mysql://shop:hunter2@127.0.0.1 refused');
      },
      redis: () => new Promise(() => {}),
      consul: async () => {},
    };
    const answer = await get('/health/ready');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({
      status: 'not ready',
      checks: {
        mysql: 'failed: connect mysql://shop:[redacted]@127.0.0.1 refused',
        redis: 'timed out',
        consul: 'ok',
      },
    });
    expect((await get('/health/live')).status).toBe(200);
  });

  test('is not ready while draining', async () => {
    draining = true;
    const answer = await get('/health/ready');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ status: 'draining' });
  });
});

test('a health check that hangs is not started a second time', async () => {
  let started = 0;
  const hang = () => {
    started += 1;
    return new Promise<void>(() => {});
  };
  const app = express().use(healthRouter({ checks: { hang }, draining: () => false, timeoutMs: 20 }));
  const log = createLog({ name: 'test', level: 'silent' });
  const server = await startHttpServer({ handler: app, host: '127.0.0.1', port: 0, log });
  for (let i = 0; i < 3; i += 1) expect((await fetch(`${server.url}/health/ready`)).status).toBe(503);
  expect(started).toBe(1);
  await server.drain(1_000);
});
