import { createHash, timingSafeEqual } from 'node:crypto';
import { forceSideHeader, operatorTokenHeader } from '@strangler/platform/contracts/headers.ts';
import type { Side } from '../decide/decision.ts';
import { firstOf, type RequestHead } from './request-head.ts';

/** What an operator may ask for with a request; `operator` is false for everybody else, whatever they send. */
export type OperatorWish = { operator: boolean; forcedSide: Side | null };

/** Compares a token with the operators' one in constant time; with no token configured nobody is an operator. */
export type IsOperatorToken = (token: string) => boolean;

export function operatorTokens(token: string | null): IsOperatorToken {
  if (token === null || token === '') return () => false;
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const expected = digest(token);
  return (given) => timingSafeEqual(digest(given), expected);
}

const nobody: OperatorWish = { operator: false, forcedSide: null };

/** Reads the operator's headers, which count only beside the right token. */
export function operatorWish(head: RequestHead, isOperatorToken: IsOperatorToken): OperatorWish {
  const token = firstOf(head, operatorTokenHeader);
  if (token === undefined || !isOperatorToken(token)) return nobody;
  const side = firstOf(head, forceSideHeader);
  return { operator: true, forcedSide: side === 'monolith' || side === 'service' ? side : null };
}
