import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes, randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { RequestHandler } from 'express';
import { requestIdHeader } from '../contracts/headers.ts';
import { tracing } from '../tracing/bridge.ts';
import { traceRequest } from '../tracing/http-server.ts';
import { traceJob } from '../tracing/job.ts';

/** Who a log line, a message or an outgoing call belongs to. */
export type RequestContext = {
  requestId: string;
  /** To be sent with every call made for this request (W3C Trace Context). */
  traceparent: string;
  /** What came with a valid traceparent; to be sent along with it. */
  tracestate?: string;
  /** 32 hex digits. */
  traceId: string;
  /** 16 hex digits: this request, within its trace. */
  spanId: string;
  /** 16 hex digits: what this was done for; undefined where the trace begins here. */
  parentSpanId?: string;
  /** What is being done: `POST /api/products/7/reviews`, without the query, or the name of a job. */
  operation?: string;
};

// A module-level storage is the exception among these files: log lines, SQL comments and outgoing calls deep down
// need the request that they belong to, and threading it through every signature in between would be worse.
const storage = new AsyncLocalStorage<RequestContext>();

/** In characters; what a client's path has beyond it is cut. */
const longestOperation = 200;

/** The request that the calling code works for; undefined outside any. */
export function currentRequest(): RequestContext | undefined {
  return storage.getStore();
}

/** Runs `fn`, and all that it starts, as part of this request (or message, or job). */
export function runInRequest<T>(context: RequestContext, fn: () => T): T {
  return storage.run(context, fn);
}

/** Runs `fn`, and all that it starts, as a job of this name, with a request id and a trace of its own. */
export function runAsJob<T>(name: string, fn: () => T): T {
  const context = { ...contextFromHeaders({}), operation: name };
  return runInRequest(context, () => traceJob(context, name, fn));
}

/** Express middleware: continues or makes a request id and a trace context, and answers with the request id. */
export function requestContext(): RequestHandler {
  return (req, res, next) => {
    const context = { ...contextFromHeaders(req.headers), operation: operationOf(req) };
    res.setHeader(requestIdHeader, context.requestId);
    traceRequest(req, res, context);
    storage.run(context, next);
  };
}

function operationOf({ method = '', url = '' }: { method?: string; url?: string }): string {
  return `${method} ${url.split('?', 1)[0]}`.slice(0, longestOperation);
}

/** The context of a request with these headers. What is not well-formed in them is replaced, never repaired. */
export function contextFromHeaders(headers: IncomingHttpHeaders): RequestContext {
  const requestId = acceptedRequestId(headers[requestIdHeader]) ?? randomUUID();
  const received = parseTraceparent(headers.traceparent);
  const traceId = received?.traceId ?? nonZeroHex(16);
  const spanId = nonZeroHex(8);
  const flags = received?.flags ?? flagsOfNewTrace(traceId);
  const traceparent = `00-${traceId}-${spanId}-${flags}`;
  if (received === undefined) return { requestId, traceparent, traceId, spanId };
  const tracestate = acceptedTracestate(headers.tracestate);
  const parentSpanId = received.spanId;
  return {
    ...{ requestId, traceparent, traceId, spanId, parentSpanId },
    ...(tracestate === undefined ? {} : { tracestate }),
  };
}

/** A part of what is being done, as a span of its own in the same trace. */
export function childOf(parent: RequestContext): RequestContext {
  const spanId = nonZeroHex(8);
  const traceparent = `00-${parent.traceId}-${spanId}-${parent.traceparent.slice(-2)}`;
  return { ...parent, spanId, traceparent, parentSpanId: parent.spanId };
}

/** Where this process records no traces, whoever is called may. */
export function flagsOfNewTrace(traceId: string): string {
  return tracing()?.flagsOf(traceId) ?? '01';
}

/** A client's request id, if it is 1 to 128 characters that are safe in logs and headers. */
export function acceptedRequestId(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && /^[A-Za-z0-9._:-]{1,128}$/.test(value) ? value : undefined;
}

/** Reads a version 00 traceparent (W3C Trace Context §3.2); undefined when it is not valid or an id is all zero. */
export function parseTraceparent(
  value: unknown,
): { traceparent: string; traceId: string; spanId: string; flags: string } | undefined {
  if (typeof value !== 'string') return undefined;
  const match = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(value);
  const [traceparent, traceId, spanId, flags] = match ?? [];
  if (traceparent === undefined || traceId === undefined || spanId === undefined || flags === undefined)
    return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceparent, traceId, spanId, flags };
}

/** W3C Trace Context §3.3.1.5 asks for at least 512 characters to be passed on; more is dropped. */
function acceptedTracestate(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= 512 ? value : undefined;
}

function nonZeroHex(size: number): string {
  for (;;) {
    const hex = randomBytes(size).toString('hex');
    if (!/^0+$/.test(hex)) return hex;
  }
}
