import { serviceTokenHeader, stranglerHeaderPrefix } from '@strangler/platform/contracts/headers.ts';
import type { AnswerFilter } from '../forward/answer-filter.ts';
import type { KeptBody } from '../forward/kept-body.ts';
import type { Tap } from '../shadow/tap.ts';
import { type ClientIdentity, identityHeaderNames, identityHeaderPrefix } from './client-identity.ts';
import type { BodyFraming } from './framing.ts';
import { hopByHopNames, namedByConnection } from './hop-by-hop.ts';
import { canonicalName, type RequestHead } from './request-head.ts';

/** Header names in the case in which they are to be sent; an array is sent as several lines. */
export type OutgoingHeaders = Record<string, string | string[]>;

/** Objects without `Object.prototype`, in which V8 still finds properties fast, unlike those of `Object.create(null)`. */
function HeaderBag(): void {}
HeaderBag.prototype = Object.create(null);
const HeaderBagClass = HeaderBag as unknown as new () => OutgoingHeaders;

/** A request as the upstream is to see it, but for its body, which is still unread in the client's socket. */
export type OutgoingRequest = {
  method: string;
  /** Path and query byte for byte as the client sent them, or `*`. */
  target: string;
  headers: OutgoingHeaders;
  body: BodyFraming;
  /** The client waits for 100 before it sends its body; false once it has been told. */
  clientAwaitsContinue: boolean;
  /** What has been sent of the body, for a write that may have to be sent again; null where nothing is kept. */
  kept: KeptBody | null;
  /** Copies the request and its answer as they go by; null where nothing is compared. */
  tap: Tap | null;
  /** What the answer goes through on its way to the client; null: it stays as it is. */
  filter: AnswerFilter | null;
  /** What policies have said in the request besides its target, as text: an answer to it is none to a request that says otherwise. */
  said: readonly string[];
  /** The most that the body may have where that is less than the proxy's own limit; null where it is not. */
  maxBodyBytes: number | null;
};

/** The headers of this request that the proxy itself says, and nobody else may. */
export type OwnHeaders = {
  identity: ClientIdentity;
  requestId: string;
  traceparent: string;
  tracestate: string | undefined;
};

/** Names that the proxy writes anew, or answers to itself, whatever the client sent. */
const replacedNames: ReadonlySet<string> = new Set(['x-request-id', 'traceparent', 'tracestate', 'expect']);

/** What only a service says to another one; a client's own would be that of somebody it was stolen from. */
const droppedNames: ReadonlySet<string> = new Set([serviceTokenHeader]);

/**
 * The headers to send on: what the client sent, in its order and case, without what belongs to the client's own
 * connection, then what the proxy says. Removal comes first, so a client cannot name the proxy's own headers in
 * `Connection` and have them taken out.
 */
export function outgoingHeaders(head: RequestHead, body: BodyFraming, own: OwnHeaders): OutgoingHeaders {
  const { raw, names } = head;
  const named = namedByConnection(head.connection);
  const headers = new HeaderBagClass();
  for (let line = 0; line < names.length; line++) {
    const name = names[line]!;
    if (staysHere(name, named)) continue;
    if (name === 'trailer' && body.kind !== 'chunked') continue;
    const first = names.indexOf(name);
    if (first === line) headers[raw[line * 2]!] = raw[line * 2 + 1]!;
    else append(headers, raw[first * 2]!, raw[line * 2 + 1]!);
  }
  const { identity } = own;
  headers['X-Forwarded-For'] = identity.forwardedFor;
  headers['X-Forwarded-Proto'] = identity.forwardedProto;
  if (identity.forwardedHost !== '') headers['X-Forwarded-Host'] = identity.forwardedHost;
  headers.Forwarded = identity.forwarded;
  headers['X-Request-Id'] = own.requestId;
  headers.traceparent = own.traceparent;
  if (own.tracestate !== undefined) headers.tracestate = own.tracestate;
  if (acceptsTrailers(head)) {
    headers.TE = 'trailers';
    headers.Connection = 'keep-alive, TE';
  }
  return headers;
}

/** Whether a request's header ends at this proxy. */
function staysHere(sent: string, named: ReadonlySet<string>): boolean {
  const name = canonicalName(sent);
  return (
    hopByHopNames.has(name) ||
    replacedNames.has(name) ||
    droppedNames.has(name) ||
    identityHeaderNames.has(name) ||
    (name.charCodeAt(0) === 0x78 /* x */ &&
      (name.startsWith(identityHeaderPrefix) || name.startsWith(stranglerHeaderPrefix))) ||
    (named.size > 0 && named.has(sent))
  );
}

function append(headers: OutgoingHeaders, key: string, value: string): void {
  const before = headers[key];
  if (before === undefined) headers[key] = value;
  else if (typeof before === 'string') headers[key] = [before, value];
  else before.push(value);
}

/** RFC 9110 §10.1.4: only `trailers` says something that this proxy can keep. */
function acceptsTrailers(head: RequestHead): boolean {
  const line = head.names.indexOf('te');
  return line !== -1 && /(?:^|,)\s*trailers\s*(?:,|$)/i.test(head.raw[line * 2 + 1]!);
}
