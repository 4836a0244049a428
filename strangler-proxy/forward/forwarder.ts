import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OutgoingRequest } from '../accept/outgoing.ts';
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
  /** The upstream stopped sending in the middle of its answer. */
  | 'upstream-body-stalled'
  /** The answer is larger than a policy lets through. */
  | 'upstream-answer-too-large'
  | 'client-aborted-request'
  | 'client-aborted-response'
  /** The client stopped sending its body, or stopped reading its answer. */
  | 'client-stalled-request'
  | 'client-stalled-response'
  /** The client's body, counted as it streamed, is larger than the limit. */
  | 'client-body-too-large';

/**
 * Whether the connection had carried a request before. One that had may have been closed by the upstream while it
 * was idle: a reset on it says nothing about the instance, which may be tried again at once.
 */
export type ConnectionAge = 'fresh' | 'reused';

/** `latencyMs` is the time until the answer's head came, or until the failure. */
export type ForwardResult =
  | {
      kind: 'answered';
      status: number;
      latencyMs: number;
      /** The instance refused a write whose epoch is over, and did nothing; the answer was not sent on. */
      staleEpoch?: number;
      /** Where the answer came before the request was sent whole: settles when its connection is done with. */
      over?: Promise<void>;
    }
  | {
      kind: 'failed';
      error: ForwardError;
      phase: FailurePhase;
      connection: ConnectionAge;
      detail: string;
      latencyMs: number;
    }
  | { kind: 'client-aborted'; error: ForwardError; latencyMs: number };

/** What to add to the answer before its head is sent on: names and values in turn. */
export type AnswerHeaders = readonly string[];

/** The same, where it depends on the answer's status. */
export type AddToAnswer = AnswerHeaders | ((status: number) => AnswerHeaders);

/** How long an instance may take to begin its answer: `short` where somebody else could answer just as well. */
export type Patience = 'usual' | 'short';

/**
 * Sends one request to one instance and streams the answer back. Never rejects and never answers the client by
 * itself when the attempt fails before the answer began: the caller decides between another attempt and an error.
 * The client's body is not read before there is a connection to send it on.
 */
export type Forward = (
  req: IncomingMessage,
  res: ServerResponse,
  outgoing: OutgoingRequest,
  instance: Instance,
  addToAnswer: AddToAnswer,
  patience: Patience,
) => Promise<ForwardResult>;
