import type { ComparedAnswer } from '@strangler/platform/compare/answer.ts';
import { type Comparison, compareAnswers } from '@strangler/platform/compare/compare-answers.ts';
import { createIdentityMap } from '@strangler/platform/compare/identities.ts';
import { type KeptRequest, redactedText } from '@strangler/platform/compare/redact.ts';
import type { CompareRules } from '@strangler/platform/compare/rules.ts';
import type { SentRequest } from '../http/side.ts';

/** Why a kept request cannot be sent again: it may change something, or what made it work was not kept. */
export class NotReplayable extends Error {
  override name = 'NotReplayable';
}

/** The request as it was, with the credentials given now. @throws NotReplayable */
export const replayedRequest = (
  { method, path, headers }: KeptRequest,
  credentials: Readonly<Record<string, string>>,
): SentRequest => {
  if (method !== 'GET' && method !== 'HEAD') {
    throw new NotReplayable(`expected a GET or HEAD, found ${method} ${path}: a write is not sent again`);
  }
  if (path.includes(redactedText)) {
    throw new NotReplayable(`expected a whole path, found ${path}: a secret stood there, which is not kept`);
  }
  const kept = headers.filter(([, value]) => !value.includes(redactedText));
  return { method, path, headers: { ...Object.fromEntries(kept), ...credentials }, body: null };
};

export type Replayed = { monolith: ComparedAnswer; service: ComparedAnswer; comparison: Comparison };

/** Asks both sides at the same time and compares. */
export const replay = async (
  request: SentRequest,
  sides: Record<'monolith' | 'service', (request: SentRequest) => Promise<ComparedAnswer>>,
  rules: CompareRules,
): Promise<Replayed> => {
  const [monolith, service] = await Promise.all([sides.monolith(request), sides.service(request)]);
  return { monolith, service, comparison: compareAnswers(monolith, service, rules, createIdentityMap()) };
};
