import { tracing } from '@strangler/platform/tracing/bridge.ts';
import { epochMs } from '@strangler/platform/tracing/span.ts';
import type { Account, Finished } from './account.ts';
import { boundedMethod, outcomeLabel, reasonOf, sideOf } from './labels.ts';

/** Records each request as a span under the ids that it was forwarded with; null where no traces are recorded. */
export const createTraceAccount = (): Account | null => {
  const on = tracing();
  if (on === undefined) return null;
  return {
    finished(request) {
      if (request.traceparent === null) return;
      const endMs = epochMs();
      const method = boundedMethod(request.method);
      on.record({
        name: request.decision === null ? method : `${method} ${request.decision.route ?? 'other'}`,
        kind: 'server',
        traceparent: request.traceparent,
        tracestate: undefined,
        parentSpanId: request.parentSpanId,
        startMs: endMs - request.durationMs,
        endMs,
        attributes: {
          'http.request.method': method,
          'http.route': request.decision?.route ?? 'other',
          ...('status' in request.outcome ? { 'http.response.status_code': request.outcome.status } : {}),
          'strangler.slice': request.decision?.slice ?? 'none',
          'strangler.side': sideOf(request),
          'strangler.reason': reasonOf(request),
          'strangler.outcome': outcomeLabel(request.outcome),
          'strangler.attempts': request.attempts.length,
        },
        failed: failureOf(request.outcome),
      });
    },
  };
};

const failureOf = (outcome: Finished['outcome']): string | undefined => {
  switch (outcome.kind) {
    case 'answered':
      return outcome.status >= 500 ? String(outcome.status) : undefined;
    case 'refused':
      return undefined;
    default:
      return outcomeLabel(outcome);
  }
};
