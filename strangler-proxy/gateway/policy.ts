import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import type { Decision, RequestFacts, VerifiedClaims } from '../decide/decision.ts';
import type { AnswerFilter, AnswerHead } from '../forward/answer-filter.ts';
import type { AnswerHeaders } from '../forward/forwarder.ts';
import type { Tried } from '../retry/try-instances.ts';
import type { OriginAnswer } from './inner/origin.ts';

/** Who sends a request, as far as policies have proven it. */
export type Identity = {
  /** `sub` of a verified token. */
  user: string | null;
  /** Name of a known API key. */
  key: string | null;
  /** All claims of a verified token. */
  claims: VerifiedClaims | null;
};

/** What a policy may look at. The body is unread. */
export type PolicyRequest = {
  readonly facts: RequestFacts;
  readonly outgoing: OutgoingRequest;
  /** The route of the gateway file that the request matched, `GET /api/products/:id`. */
  readonly route: string;
  /** What the policies before this one have found. */
  readonly identity: Readonly<Identity>;
};

/** The request goes on to the next policy, with what is to be known of it from here on. */
export type Pass = {
  kind: 'pass';
  identity?: Partial<Identity>;
  /** Added to the answer, whoever gives it. */
  addToAnswer?: AnswerHeaders;
  /** Names in lower case of headers that the upstream must not see. */
  withhold?: readonly string[];
  /** Of the body, in bytes; the least of all policies and the proxy's own limit counts. */
  maxBodyBytes?: number;
  /** Called once, when the request is over. */
  over?: () => void;
};

/** The request goes no further: an error (RFC 9457), or an answer without body where the status is below 400. */
export type Refuse = {
  kind: 'refuse';
  status: number;
  title: string;
  /** What was expected and what was found; never repeats what the client sent. */
  detail: string;
  headers: Readonly<Record<string, string>>;
};

export type Verdict = Pass | Refuse;

export const pass: Pass = Object.freeze({ kind: 'pass' });

/** A request that has been decided about, and what an interceptor may use. */
export type InterceptedRequest = {
  readonly request: PolicyRequest;
  readonly decision: Decision;
  readonly req: IncomingMessage;
  /** To learn that the client has gone; nothing may be written to it. */
  readonly res: ServerResponse;
  /** Asks whom the request was decided to be for. */
  readonly ask: Ask;
  /** Asks as the client would by a request of its own: the policies of that one's route are asked first, and it is decided about anew. */
  readonly askAnother: AskAnother;
};

/** What a policy asks upstreams by itself; without a body. */
export type Asked = {
  outgoing: OutgoingRequest;
  /** Whether its answer may be compared with the other side's. */
  compare: boolean;
  /** `live`: it is part of the client's request, and accounted for as that. `beside`: nobody waits for it. */
  how: 'live' | 'beside';
  signal?: AbortSignal;
};

export type Ask = (asked: Asked) => Promise<OriginAnswer>;

/** A policy of the other request's route has refused it, and no upstream was asked. */
export type RefusedAsk = { kind: 'refused'; policy: string; refusal: Refuse };

export type AskAnother = (asked: Asked & { facts: RequestFacts }) => Promise<OriginAnswer | RefusedAsk>;

/** What an interceptor makes of a request. */
export type Interception =
  /** It is forwarded; `filter` looks at the upstream's answer and may change it. */
  | { kind: 'forward'; filter: AnswerFilter | null }
  /** This is the answer, and no upstream is asked. `null`: no body. A HEAD's body is left out by whoever sends it. */
  | {
      kind: 'answer';
      head: AnswerHead;
      body: Buffer | Readable | null;
      /** Given where it is an upstream's answer to the client's own request: settles when the upstream is done with. */
      settled?: Promise<unknown>;
    }
  /** An upstream was asked in the request's place, and none has answered. */
  | { kind: 'failed'; tried: Exclude<Tried, { kind: 'answered' }> };

/**
 * One policy, as it stands under its name in the gateway file. It does its part in the moments that it has methods for:
 * `check` before anything is decided, `intercept` when it is decided and before an upstream is asked, `answering` on
 * every answer's head, whoever gives it, refusals by other policies too. A method that need not wait must not be
 * asynchronous: a request on whose route all policies are synchronous is never put off to a later tick.
 */
export type Policy = {
  /** In the gateway file. */
  readonly name: string;
  check?(request: PolicyRequest): Verdict | Promise<Verdict>;
  intercept?(intercepted: InterceptedRequest): Interception | Promise<Interception>;
  /** Gives the headers to send in place of these, or the same list. */
  answering?(request: PolicyRequest, head: AnswerHead): readonly string[];
  /** Ends what it follows; requests that are under way may still ask it. */
  close?(): void;
};
