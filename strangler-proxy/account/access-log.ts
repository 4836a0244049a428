import type { Log } from '@strangler/platform/log.ts';
import type { Account, Finished } from './account.ts';
import { outcomeLabel, sideOf } from './request-metrics.ts';

/** Which requests are logged: every one, those that did not go well on the proxy's account, or none. */
export type AccessLogDetail = 'all' | 'failures' | 'none';

/** One line a request: what was asked, where it went and why, how it ended. The path is logged without its query. */
export const createAccessLog = (log: Log, detail: AccessLogDetail): Account => ({
  finished(request) {
    if (detail === 'none') return;
    const failed = isFailure(request);
    if (!failed && detail === 'failures') return;
    const { decision, attempts, durationMs, requestId, traceparent, method, facts } = request;
    const line = {
      requestId,
      traceparent,
      method,
      path: facts?.path ?? null,
      slice: decision?.slice ?? null,
      side: sideOf(request),
      reason: decision?.reason ?? null,
      outcome: outcomeLabel(request.outcome),
      attempts: attempts.map(({ instance, result }) => ({
        instance: instance.id,
        ...(result.kind === 'answered' ? { status: result.status } : { error: result.error }),
        ...(result.kind === 'failed' ? { phase: result.phase, detail: result.detail } : {}),
      })),
      durationMs: Math.round(durationMs * 100) / 100,
    };
    if (failed) log.warn(line, 'request failed');
    else log.info(line, 'request');
  },
});

/** What an operator must see: an answer of the proxy's own making, or an attempt that had to be repeated. */
const isFailure = ({ outcome, attempts }: Finished): boolean =>
  outcome.kind === 'failed' || outcome.kind === 'no-instance' || outcome.kind === 'broken' || attempts.length > 1;
