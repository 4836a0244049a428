import { isEventStream } from '../../forward/event-stream.ts';
import { type AnswerHead, type CacheRequest, type FallbackTimes, headerOf, requestHeader } from './answer.ts';
import { type CacheDirectives, parseCacheControl } from './cache-control.ts';
import { freshnessLifetime } from './freshness.ts';
import { hasValidator } from './validators.ts';

/** Why an answer is not kept: a closed set, used in metrics and in `Cache-Status`. */
export type NotStored =
  | 'method'
  | 'status'
  | 'partial'
  | 'no-store'
  | 'private'
  | 'authorization'
  | 'set-cookie'
  | 'vary'
  | 'no-lifetime'
  | 'event-stream'
  /** The other side has answered in place of the one that was decided on. */
  | 'fallback'
  | 'too-large';

/** Statuses whose meaning this cache knows and that may be kept without being asked for (RFC 9110 §15.1), but for 206. */
const keptStatuses: ReadonlySet<number> = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]);

/** Kept only where they say themselves for how long. */
const aboutTheRequest: ReadonlySet<number> = new Set([405, 414, 501]);

export type StoreRules = {
  /** Answers to requests with `Authorization` are kept where they say themselves that everybody may have them. */
  authorized: boolean;
  fallback: FallbackTimes;
};

/**
 * Whether a shared cache may keep this answer to this request (RFC 9111 §3 and §3.5); null: it may. An answer that sets a
 * cookie never is, and one with neither lifetime nor validator would never be of use.
 */
export function notStorable(request: CacheRequest, answer: AnswerHead, rules: StoreRules): NotStored | null {
  const asked = parseCacheControl(requestHeader(request, 'cache-control'));
  const told = parseCacheControl(headerOf(answer.headers, 'cache-control'));
  if (request.method !== 'GET') return 'method';
  if (answer.status === 206 || headerOf(answer.headers, 'content-range') !== undefined) return 'partial';
  if (!keptStatuses.has(answer.status)) return 'status';
  if (asked.has('no-store') || told.has('no-store')) return 'no-store';
  if (told.has('private')) return 'private';
  if (request.headers.authorization !== undefined && !(rules.authorized && isForEverybody(told)))
    return 'authorization';
  if (headerOf(answer.headers, 'set-cookie') !== undefined) return 'set-cookie';
  if (varyNames(answer) === null) return 'vary';
  if (isEventStream(headerOf(answer.headers, 'content-type'))) return 'event-stream';
  const { seconds, from } = freshnessLifetime(answer, told, rules.fallback);
  // They speak of how it was asked, and one who asks wrongly must not spoil it for all.
  if (from === 'route' && aboutTheRequest.has(answer.status)) return 'status';
  if (seconds <= 0 && !hasValidator(answer)) return 'no-lifetime';
  return null;
}

/** Whether an answer says that also who proved who they are may be answered with it (RFC 9111 §3.5). */
export function isForEverybody(directives: CacheDirectives): boolean {
  return directives.has('public') || directives.has('must-revalidate') || directives.has('s-maxage');
}

/**
 * Header names that `Vary` names, lower case, sorted, each once; null for `*`, which nothing matches. What is encoded is only for who accepts
 * the coding, whether its origin says so or not.
 */
export function varyNames({ headers }: Pick<AnswerHead, 'headers'>): string[] | null {
  const names = (headerOf(headers, 'vary') ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
  const coding = headerOf(headers, 'content-encoding')?.trim().toLowerCase() ?? 'identity';
  if (coding !== 'identity' && coding !== '') names.push('accept-encoding');
  return names.includes('*') ? null : [...new Set(names)].sort();
}
