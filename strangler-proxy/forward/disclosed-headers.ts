import { instanceHeader, reasonHeader, sideHeader } from '@strangler/platform/contracts/headers.ts';
import type { Accepted } from '../accept/accept.ts';
import type { Decision, Side } from '../decide/decision.ts';
import type { OwnWrites } from '../decide/own-writes.ts';
import type { Instance } from '../upstream/upstream.ts';
import type { AddToAnswer, AnswerHeaders } from './forwarder.ts';

const nothingToAdd: AnswerHeaders = [];

/** What the client may see of the decision, and the cookie that keeps it to its side. */
export function disclosedHeaders(decision: Decision, side: Side, instance: Instance): AnswerHeaders {
  if (!decision.disclose && decision.setCookie === null) return nothingToAdd;
  const headers: string[] = [];
  if (decision.setCookie !== null) headers.push('Set-Cookie', decision.setCookie);
  if (decision.disclose) {
    const reason = side === decision.side ? decision.reason : 'fallback';
    headers.push(sideHeader, side, reasonHeader, reason, instanceHeader, instance.id);
  }
  return headers;
}

/** Told of each request of an unsafe method that was answered well, before its answer goes out; what it says is added to that. */
export type AfterWrite = (accepted: Accepted) => AnswerHeaders;

/** RFC 9110 §9.2.1. */
const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** What is added to an answer: what is disclosed, and with a write that was taken, the cookie by which its user reads it. */
export function addToAnswer(
  decision: Decision,
  side: Side,
  instance: Instance,
  accepted: Accepted,
  ownWrites: Pick<OwnWrites, 'took'> | null,
  afterWrite: AfterWrite | null,
): AddToAnswer {
  const disclosed = disclosedHeaders(decision, side, instance);
  const { ownWrite, slice } = decision;
  const pinned = ownWrite !== null && ownWrites !== null && slice !== null;
  const told = afterWrite !== null && !safeMethods.has(accepted.facts.method);
  if (!pinned && !told) return disclosed;
  return (status) => {
    if (status >= 400) return disclosed;
    const headers = [...disclosed];
    if (pinned) headers.push('Set-Cookie', ownWrites.took(slice, side, ownWrite.stickyBy, accepted.facts));
    if (told) headers.push(...afterWrite(accepted));
    return headers;
  };
}
