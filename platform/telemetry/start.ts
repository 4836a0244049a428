import { register } from 'node:module';
import { isSpanContextValid, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { AmqplibInstrumentation } from '@opentelemetry/instrumentation-amqplib';
import { ExpressInstrumentation } from '@opentelemetry/instrumentation-express';
import { GrpcInstrumentation } from '@opentelemetry/instrumentation-grpc';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { MySQL2Instrumentation } from '@opentelemetry/instrumentation-mysql2';
import { RedisInstrumentation } from '@opentelemetry/instrumentation-redis';
import { NodeSDK, tracing } from '@opentelemetry/sdk-node';
import { offerTelemetry } from './bridge.ts';

/** A process that stops waits so long for its last spans to be sent, unless OTEL_BSP_EXPORT_TIMEOUT (ms) says else. */
const defaultFlushMs = 2_000;

/** Starts tracing. Must come before what is to be traced is imported: see register.ts. */
export function startTelemetry(env: Record<string, string | undefined> = process.env): void {
  const flushMs = Number(env.OTEL_BSP_EXPORT_TIMEOUT) || defaultFlushMs;
  // ES modules cannot be patched after the fact as CommonJS ones can: they are wrapped as they are loaded.
  register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);
  const spans = new tracing.BatchSpanProcessor(new OTLPTraceExporter());
  const sdk = new NodeSDK({
    spanProcessors: [spans],
    // Prometheus has the metrics, standard output the log.
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [
      new HttpInstrumentation({ ignoreIncomingRequestHook: (req) => isProbe(req.url) }),
      new ExpressInstrumentation(),
      new MySQL2Instrumentation(),
      new AmqplibInstrumentation(),
      new RedisInstrumentation(),
      new GrpcInstrumentation(),
    ],
  });
  sdk.start();
  offerTelemetry({
    activeTraceparent,
    flush: () => withinMs(flushMs, spans.forceFlush()),
  });
  process.once('beforeExit', () => void withinMs(flushMs, sdk.shutdown()));
}

function activeTraceparent(): string | undefined {
  const context = trace.getActiveSpan()?.spanContext();
  if (context === undefined || !isSpanContextValid(context)) return undefined;
  return `00-${context.traceId}-${context.spanId}-${context.traceFlags.toString(16).padStart(2, '0')}`;
}

function isProbe(url: string | undefined): boolean {
  return url?.startsWith('/health/') === true || url === '/metrics';
}

/** Telemetry that cannot be sent must not keep a process from stopping. */
async function withinMs(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([
    work.then(
      () => {},
      () => {},
    ),
    late,
  ]);
  clearTimeout(timer);
}
