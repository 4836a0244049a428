import type { Log } from '@strangler/platform/log.ts';
import type { Account, Finished, RequestOutcome } from './account.ts';
import { outcomeLabel, reasonOf, sideOf } from './labels.ts';

/** Which requests are logged: every one, those that did not go well on the proxy's account, or none. */
export type AccessLogDetail = 'all' | 'failures' | 'none';

/** One line a request: what was asked, where it went and why, how it ended. The path is logged without its query. */
export const createAccessLog = (log: Log, detail: AccessLogDetail): Account => ({
  finished(request) {
    if (detail === 'none') return;
    const course = courseOf(request);
    if (course === 'went well' && detail === 'failures') return;
    const { decision, attempts, durationMs, requestId, traceparent, method, facts } = request;
    const line = {
      requestId,
      // As the logs of everything behind the proxy name them.
      traceId: traceparent?.slice(3, 35) ?? null,
      spanId: traceparent?.slice(36, 52) ?? null,
      method,
      path: facts?.path ?? null,
      slice: decision?.slice ?? null,
      side: sideOf(request),
      reason: reasonOf(request),
      outcome: outcomeLabel(request.outcome),
      attempts: attempts.map(({ instance, result }) => ({
        instance: instance.id,
        ...(result.kind === 'answered' ? { status: result.status } : { error: result.error }),
        ...(result.kind === 'failed' ? { phase: result.phase, detail: result.detail } : {}),
      })),
      durationMs: Math.round(durationMs * 100) / 100,
    };
    if (course === 'defect')
      log.error({ ...line, message: messageOf(request.outcome) }, 'request met a defect of the proxy');
    else if (course === 'failed') log.warn(line, 'request failed');
    else if (course === 'repeated') log.warn(line, 'request needed more than one attempt');
    else log.info(line, 'request');
  },
});

/** What an operator must see: an answer of the proxy's own making, or an attempt that had to be repeated. */
const courseOf = ({ outcome, attempts }: Finished): 'went well' | 'repeated' | 'failed' | 'defect' => {
  switch (outcome.kind) {
    case 'defect':
      return 'defect';
    case 'failed':
    case 'no-instance':
    case 'broken':
      return 'failed';
    default:
      return attempts.length > 1 ? 'repeated' : 'went well';
  }
};

const messageOf = (outcome: RequestOutcome): string | undefined =>
  outcome.kind === 'defect' ? outcome.message : undefined;
