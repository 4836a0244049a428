import { type CacheRequest, headerOf, requestHeader, type StoredAnswer } from './answer.ts';
import { type CacheDirectives, mostSeconds, parseCacheControl, secondsOf } from './cache-control.ts';
import { type Standing, standingOf } from './freshness.ts';
import { isForEverybody } from './storable.ts';
import { hasValidator } from './validators.ts';

/**
 * What to do with a request for which an answer is kept. `fresh` and `stale`: answer with it. `stale-while-revalidate`: answer
 * with it, and ask about it beside. `validate`: ask the origin whether it is still good. `fetch`: ask for another.
 * `unsatisfiable`: the client wants nothing but what is kept, and this may not be given.
 */
export type Reuse =
  | { kind: 'fresh' | 'stale' | 'stale-while-revalidate'; ageS: number; lifetimeS: number }
  | { kind: 'validate' | 'fetch'; why: 'stale' | 'request' | 'authorization' }
  | { kind: 'unsatisfiable' };

/** What a request says about answers that are kept (RFC 9111 §5.2.1); `Pragma` counts where there is no `Cache-Control`. */
export function requestDirectives(request: CacheRequest): CacheDirectives {
  const control = requestHeader(request, 'cache-control');
  if (control === undefined && /(?:^|,)\s*no-cache\s*(?:,|$)/i.test(requestHeader(request, 'pragma') ?? '')) {
    return new Map([['no-cache', null]]);
  }
  return parseCacheControl(control);
}

/** Decides by RFC 9111 §4 and RFC 5861. The answer is one that the request selects. */
export function reuse(request: CacheRequest, stored: StoredAnswer, nowMs: number): Reuse {
  const asked = requestDirectives(request);
  const standing = standingOf(stored, stored.fallback, nowMs);
  const ask = (why: 'stale' | 'request' | 'authorization'): Reuse => {
    if (asked.has('only-if-cached')) return { kind: 'unsatisfiable' };
    return { kind: hasValidator(stored) ? 'validate' : 'fetch', why };
  };
  const told = parseCacheControl(headerOf(stored.headers, 'cache-control'));
  if (request.headers.authorization !== undefined && !isForEverybody(told)) return ask('authorization');
  if (asked.has('no-cache')) return ask('request');
  if (standing.alwaysValidate) return ask('stale');

  const { ageS, lifetimeS } = standing;
  const found = { ageS, lifetimeS };
  const oldest = secondsOf(asked, 'max-age');
  const leftS = lifetimeS - ageS;
  const mostStaleS = staleAllowedByRequest(asked);
  const staleS = ageS - lifetimeS;
  const mayBeStale = !standing.neverStale && staleS <= mostStaleS;
  // With `max-stale` beside it a request's `max-age` may be exceeded by that much (RFC 9111 §5.2.1.1).
  if (oldest !== undefined && ageS > oldest && !(mayBeStale && ageS <= oldest + mostStaleS)) return ask('request');
  const wantedS = secondsOf(asked, 'min-fresh');
  if (wantedS !== undefined && leftS < wantedS) return ask('request');
  if (leftS > 0) return { kind: 'fresh', ...found };
  if (asked.has('max-stale') && mayBeStale) return { kind: 'stale', ...found };
  if (staleS < standing.staleWhileRevalidateS && !asked.has('only-if-cached'))
    return { kind: 'stale-while-revalidate', ...found };
  return ask('stale');
}

/** How stale an answer a request would take, in seconds; -1 where it takes none. */
function staleAllowedByRequest(asked: CacheDirectives): number {
  if (!asked.has('max-stale')) return -1;
  // Without an argument it is any; one that cannot be read allows nothing.
  return asked.get('max-stale') === null ? mostSeconds : (secondsOf(asked, 'max-stale') ?? 0);
}

/** Whether a kept answer may be given where the origin failed (RFC 5861 §4): by the answer's leave or the request's. */
export function mayServeOnError(request: CacheRequest, stored: StoredAnswer, nowMs: number): boolean {
  const asked = requestDirectives(request);
  if (asked.has('no-cache')) return false;
  const told = parseCacheControl(headerOf(stored.headers, 'cache-control'));
  if (request.headers.authorization !== undefined && !isForEverybody(told)) return false;
  const standing = standingOf(stored, stored.fallback, nowMs);
  const staleS = standing.ageS - standing.lifetimeS;
  if (standing.alwaysValidate) return false;
  if (staleS <= 0) return true;
  return staleS < Math.max(standing.staleIfErrorS, requestStaleIfErrorS(asked, standing));
}

const requestStaleIfErrorS = (asked: CacheDirectives, { neverStale }: Standing): number =>
  neverStale ? 0 : (secondsOf(asked, 'stale-if-error') ?? 0);

/** Statuses of an origin that failed (RFC 5861 §4). */
export const isOriginError = (status: number): boolean =>
  status === 500 || status === 502 || status === 503 || status === 504;
