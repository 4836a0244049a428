import { instanceHeader, reasonHeader, sideHeader } from '@strangler/platform/contracts/headers.ts';
import type { Decision, Side } from '../decide/decision.ts';
import type { Instance } from '../upstream/upstream.ts';
import type { AnswerHeaders } from './forwarder.ts';

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
