import { instanceHeader, reasonHeader, sideHeader } from '@strangler/platform/contracts/headers.ts';
import type { Decision, RequestFacts, Side } from '../decide/decision.ts';
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

/** What is added to an answer: what is disclosed, and with a write that was taken, the cookie by which its user reads it. */
export function addToAnswer(
  decision: Decision,
  side: Side,
  instance: Instance,
  facts: RequestFacts,
  ownWrites: Pick<OwnWrites, 'took'> | null,
): AddToAnswer {
  const disclosed = disclosedHeaders(decision, side, instance);
  const { ownWrite, slice } = decision;
  if (ownWrite === null || ownWrites === null || slice === null) return disclosed;
  return (status) =>
    status >= 400 ? disclosed : [...disclosed, 'Set-Cookie', ownWrites.took(slice, side, ownWrite.stickyBy, facts)];
}
