import type { RefusalRule } from '../accept/refusal.ts';
import type { Decision, RequestFacts } from '../decide/decision.ts';
import type { ForwardError, ForwardResult } from '../forward/forwarder.ts';
import type { HoldRefusal } from '../hold/write-gate.ts';
import type { Instance, RefusalReason } from '../upstream/upstream.ts';

/** One try at one instance, and how it ended. */
export type AttemptRecord = { instance: Instance; result: ForwardResult };

/** How a request ended, seen from the client. */
export type RequestOutcome =
  /** An upstream's answer went out whole, whatever its status. */
  | { kind: 'answered'; status: number }
  /** Refused before anything was decided about it. */
  | { kind: 'refused'; rule: RefusalRule; status: number }
  /** A policy of the gateway refused it, or answered in place of an upstream. */
  | { kind: 'gateway'; policy: string; status: number }
  /** A write to a slice whose ownership is being moved: answered 503 by the proxy; nothing of it was done. */
  | { kind: 'held'; why: HoldRefusal | 'stale-epoch'; status: number }
  /** Every attempt failed before an answer began, and the client got an error from the proxy. */
  | { kind: 'failed'; error: ForwardError; status: number }
  /** No instance could be asked. */
  | { kind: 'no-instance'; why: RefusalReason; status: number }
  /** The answer broke off after it had begun: the client saw a broken connection. */
  | { kind: 'broken'; error: ForwardError; status: number }
  /** The proxy itself failed: a defect, answered 500 where nothing had been answered yet. */
  | { kind: 'defect'; message: string; status: number }
  /** The client went away first. */
  | { kind: 'client-aborted'; error: ForwardError };

/** All there is to tell of a request that is over; the same object is never used twice. */
export type Finished = {
  protocol: 'http' | 'websocket';
  method: string;
  requestId: string | null;
  traceparent: string | null;
  /** Null where the request was refused before. */
  facts: RequestFacts | null;
  decision: Decision | null;
  attempts: readonly AttemptRecord[];
  outcome: RequestOutcome;
  /** From the request's head to the end of its answer, or of the connection for a WebSocket. */
  durationMs: number;
};

/** Told of each request when it is over; must not throw. */
export type Account = { finished(request: Finished): void };
