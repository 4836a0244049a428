import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type Collector, startCollector } from '../testing/collector.ts';
import { tracingConfig } from './config.ts';

let collector: Collector;

beforeEach(async () => {
  collector = await startCollector();
});
afterEach(() => collector.close());

const at = (file: string) => new URL(file, import.meta.url).href;

/** Answers one request that does a part, records an event and fails another part, and stops. */
const program = `
  import { startTracing } from ${JSON.stringify(at('./start.ts'))};
  import { withSpan } from ${JSON.stringify(at('./span.ts'))};
  import express from 'express';
  import { createLog } from ${JSON.stringify(at('../log.ts'))};
  import { createLifecycle } from ${JSON.stringify(at('../lifecycle.ts'))};
  import { createMetrics } from ${JSON.stringify(at('../http/metrics.ts'))};
  import { startHttpServer } from ${JSON.stringify(at('../http/server.ts'))};
  import { currentRequest, requestContext, runAsJob } from ${JSON.stringify(at('../http/request-context.ts'))};
  await startTracing('catalog');
  const log = createLog({ name: 'program', level: 'info' });
  const metrics = createMetrics({ service: 'catalog' });
  const lifecycle = createLifecycle({ log, graceMs: 5_000 });
  const app = express().use(requestContext());
  app.get('/health/ready', (req, res) => res.end());
  app.get('/things/:id', async (req, res) => {
    await withSpan({ name: 'look it up', kind: 'client' }, async () => log.info('looked'));
    await withSpan({ name: 'fail', kind: 'client' }, async () => { throw new TypeError('of ada@example.org'); }).catch(() => {});
    res.json(currentRequest());
  });
  const http = await startHttpServer({ host: '127.0.0.1', port: 0, log, handler: app });
  lifecycle.onStop('drain', 'http', () => http.drain(5_000));
  const traceparent = process.env.TRACEPARENT;
  await fetch(http.url + '/health/ready', { headers: { traceparent } });
  const answer = await (await fetch(http.url + '/things/7?email=ada@example.org', { headers: { traceparent } })).json();
  await runAsJob('sweep', async () => log.info('swept'));
  await lifecycle.stop('done');
  const { createRequire } = await import('node:module');
  // prom-client loads the API, which does nothing on its own.
  const loaded = Object.keys(createRequire(import.meta.url).cache).filter((file) => /@opentelemetry.(?!api.)/.test(file));
  log.info({ answer, loaded: loaded.length, metrics: await metrics.metrics() }, 'done');
  process.exit(0);`;

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentSpanId = '00f067aa0ba902b7';

async function run(env: Record<string, string>) {
  const child = spawn('node', ['--input-type=module', '-e', program], {
    cwd: import.meta.dirname,
    env: { ...process.env, NODE_OPTIONS: '', TRACEPARENT: `00-${traceId}-${parentSpanId}-01`, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const [code] = await once(child, 'close');
  const lines = output
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
  const lineOf = (text: string) => lines.find(({ msg }) => msg === text);
  return { code, errors, lineOf, done: lineOf('done') };
}

test('a program reports its requests under their routes, continues their traces, and has sent all before it exits', async () => {
  const { code, done, lineOf, errors } = await run({ TRACING_URL: collector.url });
  expect({ code, errors }).toEqual({ code: 0, errors: '' });
  expect(new Set(collector.paths())).toEqual(new Set(['/v1/traces']));
  const spans = collector.spans();
  expect(new Set(spans.map(({ service }) => service))).toEqual(new Set(['catalog']));
  expect(spans.map(({ name }) => name).toSorted()).toEqual(['GET /things/:id', 'fail', 'look it up', 'sweep']);

  const spanOf = (wanted: string) => spans.find(({ name }) => name === wanted);
  const server = spanOf('GET /things/:id');
  expect(server).toMatchObject({ kind: 2, traceId, parentSpanId, spanId: done.answer.spanId });
  expect(server?.attributes).toEqual({
    'http.request.method': 'GET',
    'http.route': '/things/:id',
    'http.response.status_code': 200,
  });
  expect(spanOf('look it up')).toMatchObject({ kind: 3, traceId, parentSpanId: server?.spanId });
  expect(spanOf('fail')).toMatchObject({ status: { code: 2, message: 'TypeError' } });
  expect(JSON.stringify(spans)).not.toContain('ada');
  // A log line names the span that it was written in; a job has a trace of its own.
  expect(lineOf('looked')).toMatchObject({ traceId, spanId: spanOf('look it up')?.spanId });
  expect(lineOf('swept')).toMatchObject({ traceId: spanOf('sweep')?.traceId, spanId: spanOf('sweep')?.spanId });
  expect(spanOf('sweep')?.traceId).not.toBe(traceId);
  expect(done.metrics).toMatch(/^tracing_spans_sent_total\{[^}]*\} 4$/m);
});

test('with the ratio 0 only traces that a caller records are recorded', async () => {
  const { code } = await run({ TRACING_URL: collector.url, TRACING_RATIO: '0' });
  expect(code).toBe(0);
  expect(new Set(collector.spans().map((span) => span.traceId))).toEqual(new Set([traceId]));
});

test('a trace that its caller does not record is not recorded, and is continued all the same', async () => {
  const TRACEPARENT = `00-${traceId}-${parentSpanId}-00`;
  const { code, done } = await run({ TRACING_URL: collector.url, TRACING_RATIO: '0', TRACEPARENT });
  expect(code).toBe(0);
  expect(done.answer.traceparent).toBe(`00-${traceId}-${done.answer.spanId}-00`);
  expect(collector.spans()).toEqual([]);
});

test('nothing of OpenTelemetry is loaded when no receiver is named, and traces are continued all the same', async () => {
  const { code, done } = await run({ TRACING_URL: '' });
  expect(code).toBe(0);
  expect(done.loaded).toBe(0);
  expect(done.answer.traceId).toBe(traceId);
  expect(collector.paths()).toEqual([]);
});

test('a receiver that is away does not keep a program from stopping, and what is lost is counted', async () => {
  await collector.close();
  const { code, done } = await run({ TRACING_URL: collector.url });
  expect(code).toBe(0);
  expect(done.answer.traceId).toBe(traceId);
  expect(done.metrics).toMatch(/^tracing_spans_(dropped_total\{reason="not-sent"[^}]*\}|waiting\{[^}]*\}) [1-9]/m);
});

test.each([
  ['TRACING_RATIO', '1.5'],
  ['TRACING_URL', 'localhost:4318'],
])('a %s of %s is refused by its name', (variable, value) => {
  expect(() => tracingConfig('catalog', { TRACING_URL: collector.url, [variable]: value })).toThrow(variable);
});
