import { contextFromHeaders } from '@strangler/platform/http/request-context.ts';
import { tracing } from '@strangler/platform/tracing/bridge.ts';
import { type OpenSpan, spanOf } from '@strangler/platform/tracing/span.ts';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import { boundedMethod } from '../account/labels.ts';
import type { Instance } from '../upstream/upstream.ts';
import type { Forward, ForwardResult } from './forwarder.ts';

/**
 * Records each attempt at an instance as a span below the request's, and sends the attempt's own id along. The same
 * function where no traces are recorded: the way of a request is then what it was.
 */
export const traceAttempts = (forward: Forward): Forward => {
  if (tracing() === undefined) return forward;
  return async (req, res, outgoing, instance, addToAnswer, patience) => {
    const own = outgoing.headers.traceparent;
    const span = typeof own === 'string' ? spanOfAttempt(own, outgoing, instance) : undefined;
    if (span === undefined) return forward(req, res, outgoing, instance, addToAnswer, patience);
    outgoing.headers.traceparent = span.context.traceparent;
    const result = await forward(req, res, outgoing, instance, addToAnswer, patience);
    // A further attempt is another span below the same request.
    outgoing.headers.traceparent = own as string;
    if (result.kind === 'answered') span.end(failureOf(result), { 'http.response.status_code': result.status });
    else span.end(result.error);
    return result;
  };
};

const spanOfAttempt = (traceparent: string, { method }: OutgoingRequest, instance: Instance): OpenSpan | undefined =>
  spanOf(contextFromHeaders({ traceparent }), {
    name: `forward ${boundedMethod(method)}`,
    kind: 'client',
    attributes: {
      'http.request.method': boundedMethod(method),
      'peer.service': instance.service,
      'strangler.side': instance.side,
      'strangler.instance': instance.id,
    },
  });

const failureOf = (result: ForwardResult & { kind: 'answered' }): string | undefined =>
  result.staleEpoch !== undefined ? 'stale-epoch' : result.status >= 500 ? String(result.status) : undefined;
