import type { FailureCause, Outcome } from '../upstream/upstream.ts';
import type { ForwardError, ForwardResult } from './forwarder.ts';

/**
 * What an attempt tells the pool about its instance. What the client did, and a reset on a connection that had been
 * idle, say nothing about the instance and must not eject it.
 */
export function leaseOutcome(result: ForwardResult): Outcome {
  const { latencyMs } = result;
  if (result.kind === 'answered') return { kind: 'answered', status: result.status, latencyMs };
  if (result.kind === 'client-aborted') return { kind: 'client-aborted', latencyMs };
  const cause = causeOf(result.error);
  const closedWhileIdle = result.connection === 'reused' && result.phase === 'sent' && cause === 'reset';
  return cause === null || closedWhileIdle
    ? { kind: 'client-aborted', latencyMs }
    : { kind: 'failed', cause, latencyMs };
}

function causeOf(error: ForwardError): FailureCause | null {
  switch (error) {
    case 'upstream-refused':
    case 'upstream-connect-timeout':
      return 'connect';
    case 'upstream-reset':
    case 'upstream-body-broken':
      return 'reset';
    case 'upstream-timeout':
    case 'upstream-body-stalled':
      return 'timeout';
    case 'upstream-bad-response':
      return 'bad-response';
    default:
      return null;
  }
}
