import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { serviceTokenHeader, stranglerHeaderPrefix } from '@strangler/platform/contracts/headers.ts';
import type { RequestFacts } from '../decide/decision.ts';
import { clientIdentity, identityHeaderNames, identityHeaderPrefix, type TrustsPeer } from './client-identity.ts';
import { bodyFraming } from './framing.ts';
import { hostRefusal, withHostOfTarget } from './host.ts';
import { declaredBodyRefusal, headSizeRefusal, type Limits } from './limits.ts';
import { type IsOperatorToken, operatorWish } from './operator.ts';
import { type OutgoingRequest, outgoingHeaders } from './outgoing.ts';
import type { Refusal } from './refusal.ts';
import { canonicalName, readHead } from './request-head.ts';
import { requestTarget } from './target.ts';
import { createContinueTrace } from './trace-context.ts';

const nothingSaid: readonly string[] = [];

/** A request that may be decided about and sent on. */
export type Accepted = {
  kind: 'accepted';
  facts: RequestFacts;
  outgoing: OutgoingRequest;
  requestId: string;
  traceparent: string;
  parentSpanId?: string | undefined;
};

/** Looks at the head of a request and reads nothing of its body. */
export type Accept = (req: IncomingMessage) => Accepted | Refusal;

export type AcceptOptions = {
  limits: Limits;
  /** Which peers' `X-Forwarded-*` are believed and added to; `trustPeers([])` believes nobody. */
  trusts: TrustsPeer;
  isOperatorToken: IsOperatorToken;
};

/** The way of a request, first part: what it is, whether it may be, who sent it, and what is sent on. */
export function createAccept({ limits, trusts, isOperatorToken }: AcceptOptions): Accept {
  const continueTrace = createContinueTrace();
  return (req) => {
    const received = readHead(req);
    const tooLarge = headSizeRefusal(received, limits);
    if (tooLarge !== null) return tooLarge;
    const body = bodyFraming(received);
    if (body.kind === 'refused') return body;
    const target = requestTarget(received);
    if (target.kind === 'refused') return target;
    const wrongHost = hostRefusal(received, target);
    if (wrongHost !== null) return wrongHost;
    const head = withHostOfTarget(received, target);
    const bodyTooLarge = declaredBodyRefusal(body, limits);
    if (bodyTooLarge !== null) return bodyTooLarge;

    const wish = operatorWish(head, isOperatorToken);
    const identity = clientIdentity(req.socket, head, trusts);
    const { requestId, traceparent, tracestate, parentSpanId } = continueTrace(req.headers);
    return {
      kind: 'accepted',
      facts: {
        method: head.method,
        path: target.path,
        headers: withoutClaims(req.headers, head.names),
        clientAddress: identity.clientAddress,
        operator: wish.operator,
        forcedSide: wish.forcedSide,
        verifiedClaims: null,
      },
      outgoing: {
        method: head.method,
        target: target.forwarded,
        headers: outgoingHeaders(head, body, { identity, requestId, traceparent, tracestate }),
        body,
        clientAwaitsContinue: false,
        kept: null,
        tap: null,
        filter: null,
        said: nothingSaid,
        maxBodyBytes: null,
      },
      requestId,
      traceparent,
      parentSpanId,
    };
  };
}

/** The headers without those that only the proxy may say; the same object where there are none of them. */
function withoutClaims(headers: IncomingHttpHeaders, names: readonly string[]): IncomingHttpHeaders {
  let cleaned: IncomingHttpHeaders | null = null;
  for (const name of names) {
    if (!isClaim(name)) continue;
    cleaned ??= { ...headers };
    delete cleaned[name];
  }
  return cleaned ?? headers;
}

function isClaim(sent: string): boolean {
  const name = canonicalName(sent);
  return (
    name === serviceTokenHeader ||
    name.startsWith(stranglerHeaderPrefix) ||
    name.startsWith(identityHeaderPrefix) ||
    identityHeaderNames.has(name)
  );
}
