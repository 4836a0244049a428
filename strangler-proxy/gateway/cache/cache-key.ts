import { createHash } from 'node:crypto';
import type { Side } from '../../decide/decision.ts';
import { type CacheRequest, requestHeader, type StoredAnswer } from './answer.ts';
import { varyNames } from './storable.ts';

/** What an answer is an answer to, but for the headers that `Vary` names. */
export type CacheSubject = {
  /** The route of the gateway file, so that one set of rules never finds what another has kept. */
  route: string;
  /** The side that was decided: the two may differ, and a canary compares them. */
  side: Side;
  /** The slice that claims the route; null where none does. */
  slice: string | null;
  /** Of the slice's writes; null where none is known. What was said before a cut-over is not given after it. */
  epoch: number | null;
  scheme: string;
  /** `Host` in lower case. */
  host: string;
  /** What the upstream is told that the client asked for: whoever stands before this proxy may have another name. */
  forwardedHost: string;
  /** Path and query as they are sent on. */
  target: string;
  /** What policies have put into the request: a version, above all. */
  said: readonly string[];
};

const digest = (parts: readonly (string | null)[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 32);

/** Names all variants of one answer. */
export const primaryKey = (subject: CacheSubject): string => {
  const { route, side, slice, epoch, scheme, host, forwardedHost, target, said } = subject;
  return digest([route, side, slice, epoch === null ? null : `${epoch}`, scheme, host, forwardedHost, target, ...said]);
};

/** Names a URI whatever side and route it was answered by: an unsafe method makes all of them untrue. */
export const uriKey = (host: string, target: string): string => digest([host, target]);

/** Names one variant, by what the request says in the headers that `Vary` named. */
export const variantKey = (primary: string, vary: readonly string[], request: CacheRequest): string =>
  vary.length === 0 ? primary : digest([primary, ...vary.flatMap((name) => [name, selecting(name, request)])]);

export const selectedBy = (answer: Pick<StoredAnswer, 'headers'>, request: CacheRequest): StoredAnswer['selectedBy'] =>
  (varyNames(answer) ?? []).map((name) => [name, selecting(name, request)] as const);

/** Whether a kept answer is for this request (RFC 9111 §4.1). */
export const selects = (stored: Pick<StoredAnswer, 'selectedBy'>, request: CacheRequest): boolean =>
  stored.selectedBy.every(([name, value]) => selecting(name, request) === value);

/** White space between the members of a list says nothing. */
function selecting(name: string, request: CacheRequest): string | null {
  const value = requestHeader(request, name);
  return value === undefined
    ? null
    : value
        .trim()
        .replace(/\s*,\s*/g, ',')
        .replace(/\s+/g, ' ');
}
