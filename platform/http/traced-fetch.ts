import { requestIdHeader, traceparentHeader } from '../contracts/headers.ts';
import { childSpan, faultName } from '../tracing/span.ts';
import { currentRequest, type RequestContext } from './request-context.ts';

/** What a call is recorded as. */
export type CallName = {
  /** Who is called, such as `payment-provider`. */
  peer: string;
  /** The route's template, never a path with values in it. */
  route: string;
  /** `elsewhere`: the other side is not of this system, and is not told the request's id and trace. Default `system`. */
  to?: 'system' | 'elsewhere';
};

/** `fetch` as part of the present request: it sends that's id and trace along, and is recorded as a span. */
export async function tracedFetch(name: CallName, address: URL | string, init: RequestInit = {}): Promise<Response> {
  const call = beginCall(name, init.method ?? 'GET');
  try {
    const response = await fetch(address, { ...init, headers: withTrace(init.headers, call.headers) });
    call.answered(response.status);
    return response;
  } catch (error) {
    call.failed(error);
    throw error;
  }
}

/** The same for other clients: what to send along, and what to tell when the answer has come. */
export function beginCall(
  { peer, route, to = 'system' }: CallName,
  method: string,
): { headers: Record<string, string>; answered(status: number): void; failed(error: unknown): void } {
  const span = childSpan({
    name: `${method} ${route}`,
    kind: 'client',
    attributes: { 'http.request.method': method, 'url.template': route, 'peer.service': peer },
  });
  const context = span?.context ?? currentRequest();
  return {
    headers: to === 'elsewhere' || context === undefined ? {} : headersOf(context),
    answered: (status) =>
      span?.end(status >= 500 ? String(status) : undefined, { 'http.response.status_code': status }),
    failed: (error) => span?.end(faultName(error)),
  };
}

function headersOf({ requestId, traceparent, tracestate }: RequestContext): Record<string, string> {
  return {
    [requestIdHeader]: requestId,
    [traceparentHeader]: traceparent,
    ...(tracestate === undefined ? {} : { tracestate }),
  };
}

function withTrace(given: RequestInit['headers'], trace: Record<string, string>): Headers {
  const headers = new Headers(given);
  for (const [name, value] of Object.entries(trace)) headers.set(name, value);
  return headers;
}
