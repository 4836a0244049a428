import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Instance } from '../upstream/upstream.ts';

/** How far an attempt had come when it failed: what may be repeated depends on it. */
export type FailurePhase =
  /** No connection was made: nothing can have been received. */
  | 'connect'
  /** A connection was had; bytes may have been received and acted on. */
  | 'sent'
  /** The answer had begun: the client has seen part of it. */
  | 'answering';

/** Which side an error came from, and what was under way: a closed set, used in logs and metrics. */
export type ForwardError =
  | 'upstream-refused'
  | 'upstream-connect-timeout'
  | 'upstream-reset'
  | 'upstream-timeout'
  | 'upstream-bad-response'
  | 'upstream-body-broken'
  | 'client-aborted-request'
  | 'client-aborted-response';

export type ForwardResult =
  | { kind: 'answered'; status: number; latencyMs: number }
  | { kind: 'failed'; error: ForwardError; phase: FailurePhase; detail: string; latencyMs: number }
  | { kind: 'client-aborted'; error: ForwardError; latencyMs: number };

/** What to add to the answer before its head is sent on. */
export type AnswerHeaders = Readonly<Record<string, string | string[]>>;

/**
 * Sends one request to one instance and streams the answer back. Never throws and never answers the client by
 * itself when the attempt fails before the answer began: the caller decides between another attempt and an error.
 */
export type Forward = (
  req: IncomingMessage,
  res: ServerResponse,
  instance: Instance,
  addToAnswer: AnswerHeaders,
) => Promise<ForwardResult>;
