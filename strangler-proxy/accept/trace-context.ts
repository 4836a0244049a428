import { randomFillSync, randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { requestIdHeader } from '@strangler/platform/contracts/headers.ts';
import { acceptedRequestId, flagsOfNewTrace, parseTraceparent } from '@strangler/platform/http/request-context.ts';

/** Under which names a request is known to logs and traces from here on. */
export type TraceContext = {
  requestId: string;
  traceparent: string;
  tracestate: string | undefined;
  /** What the client did it for; undefined where the trace begins here. */
  parentSpanId: string | undefined;
};

/** Continues the client's request id and W3C trace where they are well-formed, or makes new ones. */
export type ContinueTrace = (headers: IncomingHttpHeaders) => TraceContext;

const longestTracestate = 512;

/**
 * The same rules as `contextFromHeaders` of the platform. Ids are cut from a block of random bytes: asking for them one
 * by one gave every request two buffers of its own outside the heap, and the collector a tenth of the processor.
 */
export function createContinueTrace(): ContinueTrace {
  const randomHex = createRandomHex();
  return (headers) => {
    const requestId = acceptedRequestId(headers[requestIdHeader]) ?? randomUUID();
    if (headers.traceparent !== undefined) {
      const received = parseTraceparent(headers.traceparent);
      if (received !== undefined) {
        const traceparent = `00-${received.traceId}-${randomHex(8)}-${received.flags}`;
        const tracestate = acceptedTracestate(headers.tracestate);
        return { requestId, traceparent, tracestate, parentSpanId: received.spanId };
      }
    }
    const traceId = randomHex(16);
    const traceparent = `00-${traceId}-${randomHex(8)}-${flagsOfNewTrace(traceId)}`;
    return { requestId, traceparent, tracestate: undefined, parentSpanId: undefined };
  };
}

function acceptedTracestate(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= longestTracestate ? value : undefined;
}

const allZero = /^0+$/;

function createRandomHex(): (bytes: number) => string {
  const block = Buffer.allocUnsafeSlow(4096);
  let used = block.length;
  return function randomHex(bytes: number): string {
    if (used + bytes > block.length) {
      randomFillSync(block);
      used = 0;
    }
    const hex = block.toString('hex', used, used + bytes);
    used += bytes;
    return allZero.test(hex) ? randomHex(bytes) : hex;
  };
}
