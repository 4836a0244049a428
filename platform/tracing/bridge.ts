import type { Registry } from 'prom-client';

/** `01`: the spans of the trace are recorded; `00`: they are not. */
export type TraceFlags = '00' | '01';

export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer';

/** Never what identifies a person, and never a value that a client has chosen: route templates, names, codes, counts. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** A piece of work that is over. */
export type FinishedSpan = {
  name: string;
  kind: SpanKind;
  /** W3C trace context of the span itself. */
  traceparent: string;
  tracestate: string | undefined;
  /** 16 hex digits; undefined for the first span of a trace. */
  parentSpanId: string | undefined;
  /** Milliseconds since the epoch, with fractions. */
  startMs: number;
  endMs: number;
  attributes: SpanAttributes;
  /** A word for what went wrong; undefined where nothing did. */
  failed: string | undefined;
};

/** What tracing, where it is switched on, offers to the rest of the program. */
export type Tracing = {
  /** For a trace that begins here, by the configured ratio; the same trace gets the same flags in every process. */
  flagsOf(traceId: string): TraceFlags;
  /** Puts it among those to be sent; dropped and counted where too many wait. Never throws. */
  record(span: FinishedSpan): void;
  /** Counts what is sent and dropped in this registry. */
  expose(registry: Registry): void;
  /** Sends what has been recorded; bounded in time, never throws. */
  flush(): Promise<void>;
};

// Module state is the exception among these files. Spans are recorded deep down, where log lines are written, and there
// is one exporter a process: passing it along would put it into every signature.
let started: Tracing | undefined;

export function offerTracing(tracing: Tracing | undefined): void {
  started = tracing;
}

/** Undefined where traces are not recorded. */
export function tracing(): Tracing | undefined {
  return started;
}
