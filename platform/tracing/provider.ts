import { type Context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  type IdGenerator,
  ParentBasedSampler,
  SamplingDecision,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { parseTraceparent } from '../http/request-context.ts';
import { createSpanBook, exposeSpanBook } from './bounded-spans.ts';
import type { FinishedSpan, Tracing } from './bridge.ts';

export type TracingOptions = {
  /** Under which the spans are reported. */
  service: string;
  /** Of the receiver, without the path of its signals. */
  url: string;
  /** From 0 to 1. */
  ratio: number;
  bounds?: Partial<TracingBounds>;
};

export type TracingBounds = {
  /** Spans that wait to be sent; more are dropped. */
  maxWaiting: number;
  /** How long a span waits for others to be sent along with it. */
  sendAfterMs: number;
  /** For one sending, and for the last one of a process that stops. */
  sendTimeoutMs: number;
};

const defaultBounds: TracingBounds = { maxWaiting: 4_096, sendAfterMs: 1_000, sendTimeoutMs: 2_000 };
const largestBatch = 512;

const kinds = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

/**
 * Records spans with the SDK of OpenTelemetry and sends them in batches. A span is handed over when it is over, under
 * the ids that its request context has had all along: log lines, outbox rows and headers name it without asking the SDK.
 */
export function createTracing({ service, url, ratio, bounds }: TracingOptions): Tracing {
  const { maxWaiting, sendAfterMs, sendTimeoutMs } = { ...defaultBounds, ...bounds };
  const book = createSpanBook({ maxWaiting });
  const exporter: SpanExporter = new OTLPTraceExporter({
    url: `${url.replace(/\/+$/, '')}/v1/traces`,
    timeoutMillis: sendTimeoutMs,
  });
  const batches = new BatchSpanProcessor({
    exporter: book.exporter(exporter),
    maxQueueSize: maxWaiting + largestBatch,
    maxExportBatchSize: Math.min(largestBatch, maxWaiting),
    scheduledDelayMillis: sendAfterMs,
    exportTimeoutMillis: sendTimeoutMs,
  });
  const ids = createGivenIds();
  const byRatio = new TraceIdRatioBasedSampler(ratio);
  const provider = new TracerProvider({
    resource: defaultResource().merge(resourceFromAttributes({ 'service.name': service })),
    sampler: new ParentBasedSampler({ root: byRatio }),
    idGenerator: ids,
    spanProcessors: [book.processor(batches)],
    spanLimits: { attributeCountLimit: 32, attributeValueLengthLimit: 256 },
  });
  const tracer = provider.getTracer('strangler');

  return {
    flagsOf: (traceId) =>
      byRatio.shouldSample(ROOT_CONTEXT, traceId).decision === SamplingDecision.RECORD_AND_SAMPLED ? '01' : '00',
    record(finished) {
      const own = parseTraceparent(finished.traceparent);
      if (own === undefined || !isSampledFlags(own.flags)) return;
      ids.give(own.traceId, own.spanId);
      const span = tracer.startSpan(
        finished.name,
        { kind: kinds[finished.kind], startTime: finished.startMs, attributes: { ...finished.attributes } },
        contextAbove(finished, own.traceId),
      );
      if (finished.failed !== undefined) {
        span.setStatus({ code: SpanStatusCode.ERROR, message: finished.failed });
        span.setAttribute('error.type', finished.failed);
      }
      span.end(finished.endMs);
    },
    expose: (registry) => exposeSpanBook(registry, book),
    flush: () => withinMs(sendTimeoutMs, provider.forceFlush({ timeoutMillis: sendTimeoutMs })),
  };
}

const isSampledFlags = (flags: string): boolean => (Number.parseInt(flags, 16) & 1) === 1;

function contextAbove({ parentSpanId }: FinishedSpan, traceId: string): Context {
  if (parentSpanId === undefined) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId: parentSpanId, traceFlags: 1, isRemote: true });
}

/** Ids are asked for while a span is started, in the same turn in which they were given. */
function createGivenIds(): IdGenerator & { give(traceId: string, spanId: string): void } {
  let given = { traceId: '', spanId: '' };
  return {
    give(traceId, spanId) {
      given = { traceId, spanId };
    },
    generateTraceId: () => given.traceId,
    generateSpanId: () => given.spanId,
  };
}

/** Traces that cannot be sent must not keep a process from stopping. */
async function withinMs(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  const done = work.then(
    () => {},
    () => {},
  );
  await Promise.race([done, late]);
  clearTimeout(timer);
}
