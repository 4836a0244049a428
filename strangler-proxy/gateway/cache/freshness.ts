import { type AnswerHead, dateOf, type FallbackTimes, headerOf } from './answer.ts';
import { type CacheDirectives, deltaSeconds, parseCacheControl, secondsOf } from './cache-control.ts';

/**
 * How old an answer is now, in seconds (RFC 9111 §4.2.3): since its origin made it, as far as its `Age` and `Date` tell, the
 * time that it took to come counted in.
 */
export function currentAgeS(answer: AnswerHead, nowMs: number): number {
  const { requestedAtMs, receivedAtMs, headers } = answer;
  const dateMs = dateOf(headerOf(headers, 'date')) ?? receivedAtMs;
  const apparentAgeS = Math.max(0, (receivedAtMs - dateMs) / 1000);
  // Of several ages the first counts; one that cannot be read is as if it were not there (RFC 9111 §5.1).
  const toldAgeS = deltaSeconds(headerOf(headers, 'age')?.split(',')[0]?.trim()) ?? 0;
  const delayS = Math.max(0, (receivedAtMs - requestedAtMs) / 1000);
  const initialAgeS = Math.max(apparentAgeS, toldAgeS + delayS);
  return initialAgeS + Math.max(0, (nowMs - receivedAtMs) / 1000);
}

/** What says how long an answer is fresh. */
export type LifetimeFrom = 's-maxage' | 'max-age' | 'expires' | 'route' | 'nothing';

/**
 * For how long an answer is fresh in a shared cache, in seconds, counted in its age (RFC 9111 §4.2.1): by what it says itself,
 * else by what the route's settings say.
 */
export function freshnessLifetime(
  { headers, receivedAtMs }: AnswerHead,
  directives: CacheDirectives,
  { freshS }: FallbackTimes,
): { seconds: number; from: LifetimeFrom } {
  const shared = secondsOf(directives, 's-maxage');
  if (shared !== undefined) return { seconds: shared, from: 's-maxage' };
  const all = secondsOf(directives, 'max-age');
  if (all !== undefined) return { seconds: all, from: 'max-age' };
  const expires = headerOf(headers, 'expires');
  if (expires !== undefined) {
    // What is no date, `0` above all, means that it has expired (RFC 9111 §5.3).
    const untilMs = dateOf(expires);
    const madeMs = dateOf(headerOf(headers, 'date')) ?? receivedAtMs;
    return { seconds: untilMs === undefined ? 0 : Math.max(0, (untilMs - madeMs) / 1000), from: 'expires' };
  }
  if (freshS !== null) return { seconds: freshS, from: 'route' };
  return { seconds: 0, from: 'nothing' };
}

/** What an answer allows beyond its freshness. */
export type Standing = {
  ageS: number;
  lifetimeS: number;
  /** It must be asked about before each use. */
  alwaysValidate: boolean;
  /** It must not be used once it is stale, whatever a request allows. */
  neverStale: boolean;
  /** For how long after its freshness it is used while it is asked about, and where asking fails. */
  staleWhileRevalidateS: number;
  staleIfErrorS: number;
};

/**
 * What may be done with an answer now. `stale-while-revalidate` and `stale-if-error` (RFC 5861) yield to `must-revalidate` and
 * `proxy-revalidate`; `s-maxage` alone forbids only what the answer does not itself allow, as in `s-maxage=1,
 * stale-while-revalidate=9`.
 */
export function standingOf(answer: AnswerHead, fallback: FallbackTimes, nowMs: number): Standing {
  const directives = parseCacheControl(headerOf(answer.headers, 'cache-control'));
  const { seconds, from } = freshnessLifetime(answer, directives, fallback);
  const forbidden =
    directives.has('must-revalidate') || directives.has('proxy-revalidate') || directives.has('no-cache');
  const allowed = (name: string, routeS: number | null): number => {
    if (forbidden) return 0;
    return secondsOf(directives, name) ?? (from === 's-maxage' ? 0 : (routeS ?? 0));
  };
  return {
    ageS: currentAgeS(answer, nowMs),
    lifetimeS: seconds,
    alwaysValidate: directives.has('no-cache'),
    neverStale: forbidden || from === 's-maxage',
    staleWhileRevalidateS: allowed('stale-while-revalidate', fallback.staleWhileRevalidateS),
    staleIfErrorS: allowed('stale-if-error', fallback.staleIfErrorS),
  };
}
