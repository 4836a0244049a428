import { childOf, currentRequest, type RequestContext, runInRequest } from '../http/request-context.ts';
import { type SpanAttributes, type SpanKind, type Tracing, tracing } from './bridge.ts';

export type SpanStart = { name: string; kind: SpanKind; attributes?: SpanAttributes };

/** Work under way that is recorded when it ends. */
export type OpenSpan = {
  /** What is done as part of it runs in this context, and sends its trace along. */
  readonly context: RequestContext;
  /** To be called once. `failed` is a word for what went wrong, never a message. */
  end(failed?: string, attributes?: SpanAttributes): void;
};

/** Milliseconds since the epoch, with fractions. */
export const epochMs = (): number => performance.timeOrigin + performance.now();

/** The context itself as a span, as of a request that has come; undefined where its trace is not recorded. */
export function spanOf(context: RequestContext, start: SpanStart): OpenSpan | undefined {
  const on = tracing();
  return on === undefined || !isRecorded(context) ? undefined : open(on, context, start);
}

/** A span below the given context, or the present one; undefined where nothing is recorded. */
export function childSpan(start: SpanStart, parent = currentRequest()): OpenSpan | undefined {
  const on = tracing();
  if (on === undefined || parent === undefined || !isRecorded(parent)) return undefined;
  return open(on, childOf(parent), start);
}

/** Runs `fn` in a span below the present context, and records what became of it; just runs it where nothing is recorded. */
export async function withSpan<T>(start: SpanStart, fn: () => Promise<T>): Promise<T> {
  const span = childSpan(start);
  return span === undefined ? fn() : runInSpan(span, fn);
}

/** Runs `fn` in a span that is open, and ends it. */
export async function runInSpan<T>(span: OpenSpan, fn: () => Promise<T>): Promise<T> {
  try {
    const result = await runInRequest(span.context, fn);
    span.end();
    return result;
  } catch (error) {
    span.end(faultName(error));
    throw error;
  }
}

/** A word for an error: its code or its name. Messages may hold what must not leave the process. */
export function faultName(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  if (typeof code === 'string' || typeof code === 'number') return String(code);
  return typeof name === 'string' ? name : 'error';
}

function open(on: Tracing, context: RequestContext, { name, kind, attributes = {} }: SpanStart): OpenSpan {
  const startMs = epochMs();
  const { traceparent, tracestate, parentSpanId } = context;
  return {
    context,
    end(failed, more = {}) {
      const all = { ...attributes, ...more };
      const ids = { traceparent, tracestate, parentSpanId };
      on.record({ name, kind, ...ids, startMs, endMs: epochMs(), attributes: all, failed });
    },
  };
}

/** Whether the trace's flags ask for its spans. */
export const isRecorded = ({ traceparent }: Pick<RequestContext, 'traceparent'>): boolean =>
  (Number.parseInt(traceparent.slice(-2), 16) & 1) === 1;
