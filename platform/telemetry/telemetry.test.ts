import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type Collector, startCollector } from '../testing/collector.ts';

let collector: Collector;

beforeEach(async () => {
  collector = await startCollector();
});
afterEach(() => collector.close());

const at = (file: string) => new URL(file, import.meta.url).href;

/** Answers one request with what it knows of its trace, and stops. */
const program = `
  import express from 'express';
  import { createLog } from ${JSON.stringify(at('../log.ts'))};
  import { createLifecycle } from ${JSON.stringify(at('../lifecycle.ts'))};
  import { startHttpServer } from ${JSON.stringify(at('../http/server.ts'))};
  import { currentRequest, requestContext } from ${JSON.stringify(at('../http/request-context.ts'))};
  const log = createLog({ name: 'program', level: 'info' });
  const lifecycle = createLifecycle({ log, graceMs: 5_000 });
  const app = express().use(requestContext());
  app.get('/things/:id', (req, res) => { log.info('handled'); res.json(currentRequest()); });
  const http = await startHttpServer({ host: '127.0.0.1', port: 0, log, handler: app });
  lifecycle.onStop('drain', 'http', () => http.drain(5_000));
  const answer = await (await fetch(http.url + '/things/7', { headers: { traceparent: process.env.TRACEPARENT } })).json();
  await lifecycle.stop('done');
  const { createRequire } = await import('node:module');
  // prom-client loads the API, which does nothing on its own.
  const loaded = Object.keys(createRequire(import.meta.url).cache).filter((file) => /@opentelemetry.(?!api.)/.test(file));
  log.info({ answer, loaded: loaded.length }, 'done');
  process.exit(0);`;

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';

async function run(env: Record<string, string>) {
  const child = spawn('node', ['--import', at('./register.ts'), '--input-type=module', '-e', program], {
    env: { ...process.env, NODE_OPTIONS: '', TRACEPARENT: `00-${traceId}-00f067aa0ba902b7-01`, ...env },
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
    .map((line) => JSON.parse(line));
  return { code, lines, errors, done: lines.find(({ msg }) => msg === 'done') };
}

test('a program reports its requests under its name, continues their traces, and has sent all before it exits', async () => {
  const { code, done, lines, errors } = await run({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_SERVICE_NAME: 'catalog',
    OTEL_BSP_EXPORT_TIMEOUT: '20000',
  });
  expect({ code, errors }).toEqual({ code: 0, errors: '' });
  expect(new Set(collector.paths())).toEqual(new Set(['/v1/traces']));
  const spans = collector.spans();
  expect(new Set(spans.map(({ service }) => service))).toEqual(new Set(['catalog']));
  const server = spans.find(({ kind }) => kind === 2);
  expect(server).toMatchObject({ traceId, parentSpanId: '00f067aa0ba902b7', name: 'GET /things/:id' });
  expect(spans.map(({ scope }) => scope)).toContain('@opentelemetry/instrumentation-express');

  // Log lines and what is sent on name the span that the collector knows.
  expect(done.answer.traceId).toBe(traceId);
  expect(spans.map(({ spanId }) => spanId)).toContain(done.answer.spanId);
  expect(lines.find(({ msg }) => msg === 'handled')).toMatchObject({ traceId });
  expect(done.loaded).toBeGreaterThan(0);
});

test('nothing of OpenTelemetry is loaded when no collector is named, and traces are continued all the same', async () => {
  const { code, done } = await run({ OTEL_EXPORTER_OTLP_ENDPOINT: '' });
  expect(code).toBe(0);
  expect(done.loaded).toBe(0);
  expect(done.answer.traceId).toBe(traceId);
  expect(collector.paths()).toEqual([]);
});

test('a collector that is away does not keep a program from stopping', async () => {
  await collector.close();
  const { code, done } = await run({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SERVICE_NAME: 'catalog' });
  expect(code).toBe(0);
  expect(done.answer.traceId).toBe(traceId);
});
