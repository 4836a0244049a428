import type { Access, Side } from '../decide/decision.ts';
import type { ConnectionAge, FailurePhase, ForwardError } from '../forward/forwarder.ts';

/** An attempt that failed, and what it was part of. */
export type FailedAttempt = {
  access: Access;
  hasBody: boolean;
  failure: { error: ForwardError; phase: FailurePhase; connection: ConnectionAge };
  /** Attempts made on `side`, this one included. */
  attemptsOnSide: number;
  /** The side that the failed attempt was made on. */
  side: Side;
  monolithMayServe: boolean;
};

/** What is done after a failed attempt. */
export type NextAttempt =
  /** Try the same upstream again, without the instance that failed. */
  | 'another-instance'
  /** Try the same upstream again; the failure says nothing about the instance. */
  | 'any-instance'
  /** The monolith's data is in step: it serves this read. */
  | 'monolith'
  | 'give-up';

/** Two on each side: a read that the service fails twice may still meet one stale connection at the monolith. */
export const mostAttemptsOnSide = 2;
export const mostAttempts = 2 * mostAttemptsOnSide;

/**
 * Decides what to do after a failure. A read is repeated as long as no part of its answer has been seen. A write is
 * repeated only where it cannot have been received. Nothing is repeated whose body is gone. An upstream's answer, a
 * 503 too, is an answer and never leads here: it says what the upstream wants said, and a draining instance has left
 * discovery before it refuses.
 */
export function nextAttempt(failed: FailedAttempt): NextAttempt {
  const { failure, side } = failed;
  if (!mayBeRepeated(failed)) return 'give-up';
  if (failed.attemptsOnSide < mostAttemptsOnSide) {
    return failure.connection === 'reused' && failure.error === 'upstream-reset' ? 'any-instance' : 'another-instance';
  }
  return side === 'service' && failed.access === 'read' && failed.monolithMayServe ? 'monolith' : 'give-up';
}

function mayBeRepeated({ access, hasBody, failure }: FailedAttempt): boolean {
  // Another instance would answer the same.
  if (isOfClient(failure.error) || failure.error === 'upstream-answer-too-large') return false;
  switch (failure.phase) {
    case 'connect':
      return true;
    case 'sent':
      return access === 'read' && !hasBody;
    case 'answering':
      return false;
  }
}

function isOfClient(error: ForwardError): boolean {
  return error.startsWith('client-');
}

/** The answer to a client whose request has failed for good. */
export type GivenUp = { status: number; title: string; detail: string; headers: Readonly<Record<string, string>> };

const none: Readonly<Record<string, string>> = {};
const soon: Readonly<Record<string, string>> = { 'Retry-After': '1' };

/** What the client is told when there was nobody to ask. */
export const noInstanceAnswer: GivenUp = {
  status: 503,
  title: 'No instance available',
  detail: 'No server behind the proxy can take this request now.',
  headers: soon,
};

/** What the client is told when nothing more is tried. */
export function giveUpAnswer(access: Access, error: ForwardError, phase: FailurePhase): GivenUp {
  const unknown = access === 'write' && phase !== 'connect' ? ' Whether the request was carried out is not known.' : '';
  // A client that waits and repeats must not do so with a write whose fate is unknown.
  const headers = unknown === '' ? soon : none;
  switch (error) {
    case 'upstream-timeout':
      return gatewayTimeout(`The server behind the proxy did not answer in time.${unknown}`, headers);
    case 'upstream-connect-timeout':
      return gatewayTimeout('No connection to the server behind the proxy could be had in time.', headers);
    case 'upstream-refused':
      return badGateway('The server behind the proxy takes no connections.', headers);
    case 'upstream-reset':
      return badGateway(`The server behind the proxy closed the connection without an answer.${unknown}`, headers);
    case 'upstream-bad-response':
      return badGateway(`The server behind the proxy sent what is no HTTP answer.${unknown}`, none);
    case 'upstream-answer-too-large':
      return badGateway(`The answer of the server behind the proxy is larger than may be sent.${unknown}`, none);
    case 'client-body-too-large':
      return { status: 413, title: 'Content too large', detail: 'The body is larger than the limit.', headers: none };
    case 'client-stalled-request':
      return { status: 408, title: 'Request timeout', detail: 'The body did not arrive in time.', headers: none };
    default:
      return badGateway('The answer of the server behind the proxy broke off.', none);
  }
}

const badGateway = (detail: string, headers: GivenUp['headers']): GivenUp => ({
  status: 502,
  title: 'Bad gateway',
  detail,
  headers,
});

const gatewayTimeout = (detail: string, headers: GivenUp['headers']): GivenUp => ({
  status: 504,
  title: 'Gateway timeout',
  detail,
  headers,
});
