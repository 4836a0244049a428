import type { CacheInvalidation } from '@strangler/platform/cache/invalidation.ts';
import type { Scope } from '@strangler/platform/cache/scope.ts';
import type { Side } from '../../decide/decision.ts';
import type { Tried } from '../../retry/try-instances.ts';
import type { OriginAnswer } from '../inner/origin.ts';
import { type CacheRequest, headerOf, type StoredAnswer } from './answer.ts';
import { parseCacheControl } from './cache-control.ts';
import { selectedBy, selects } from './cache-key.ts';
import type { CacheOutcome, CacheStatus } from './cache-status.ts';
import { type Collected, collect, pairsOf } from './collect.ts';
import { standingOf } from './freshness.ts';
import type { CacheMetrics } from './metrics.ts';
import { isOriginError, mayServeOnError, requestDirectives, reuse } from './reuse.ts';
import { createSharedFetches } from './shared-fetches.ts';
import { isForEverybody, notStorable, type StoreRules } from './storable.ts';
import { type CacheStore, type Present, stampOf } from './store.ts';
import { freshened, hasValidator, isAbout, validationHeaders } from './validators.ts';
import { maySee } from './writers.ts';

/** How the answers of a route are kept. */
export type CacheRules = {
  /** Of the gateway file; a label. */
  route: string;
  store: StoreRules;
  /** No answer is kept longer, in ms. */
  keepMs: number;
  /** No larger body is kept. */
  maxBodyBytes: number;
  /** How long a request waits for another one that asks the same. */
  waitMs: number;
};

/** One request that the cache may answer. */
export type CacheCall = {
  request: CacheRequest;
  rules: CacheRules;
  primary: string;
  /** The one that was decided on. */
  side: Side;
  scopes: readonly Scope[];
  writer: string | null;
  /** As the request's cookie says. */
  wroteAtMs: number | null;
  /** Asks the origin, with these conditions in place of the client's own. `beside`: nobody waits for it. */
  ask(conditions: Readonly<Record<string, string>>, how: 'live' | 'beside'): Promise<OriginAnswer>;
};

/** What becomes of a request. */
export type Served =
  | { kind: 'kept'; answer: StoredAnswer; status: CacheStatus }
  | {
      kind: 'origin';
      origin: Extract<OriginAnswer, { kind: 'answer' }>;
      collected: Collected | null;
      status: CacheStatus;
    }
  /** It is forwarded as if there were no cache. */
  | { kind: 'pass'; status: CacheStatus }
  | { kind: 'unsatisfiable'; status: CacheStatus }
  | { kind: 'failed'; tried: Exclude<Tried, { kind: 'answered' }>; status: CacheStatus };

export type ResponseCacheOptions = {
  store: CacheStore;
  invalidation: Pick<CacheInvalidation, 'owing'>;
  metrics: CacheMetrics;
  /** For how long after a write its user is given nothing that was asked for before its end. */
  windowMs: number;
  /** Milliseconds since 1970. */
  nowMs?: () => number;
};

export type ResponseCache = { serve(call: CacheCall): Promise<Served> };

/**
 * Answers requests with what earlier ones were answered (RFC 9111, RFC 5861). What is asked for is kept only where nothing it
 * stands on changed since before it was asked for; of requests that ask the same at a time one is sent on.
 */
export function createResponseCache(options: ResponseCacheOptions): ResponseCache {
  const { store, invalidation, metrics, windowMs, nowMs = Date.now } = options;
  const fetches = createSharedFetches<StoredAnswer>();

  async function serve(call: CacheCall): Promise<Served> {
    const { request } = call;
    const away: Served = requestDirectives(request).has('only-if-cached')
      ? unsatisfiable
      : { kind: 'pass', status: { outcome: 'away' } };
    if (invalidation.owing()) return away;
    const present = await store.look(call);
    // Asked again: a change may have become owed while Redis was answering.
    if (present.kind === 'away' || invalidation.owing()) return away;

    const wroteAtMs = latest(call.wroteAtMs, present.wroteAtMs);
    const { answer } = present;
    const visible = answer !== null && maySee(answer.requestedAtMs, wroteAtMs, windowMs);
    // Neither may they be given what somebody else asked for before their write was everywhere.
    const alone = wroteAtMs !== null && nowMs() < wroteAtMs + windowMs;
    if (answer === null || !visible) {
      if (requestDirectives(request).has('only-if-cached')) return unsatisfiable;
      if (request.method === 'HEAD') return { kind: 'pass', status: { outcome: 'uri-miss' } };
      const outcome = answer !== null || alone ? 'own-write' : present.otherVariants ? 'vary-miss' : 'uri-miss';
      return fetch(call, present, { outcome, kept: null, alone: alone || answer !== null });
    }

    const found = reuse(request, answer, nowMs());
    switch (found.kind) {
      case 'fresh':
        return { kind: 'kept', answer, status: { outcome: 'hit', ttlS: found.lifetimeS - found.ageS } };
      case 'stale':
        return { kind: 'kept', answer, status: { outcome: 'stale', ttlS: found.lifetimeS - found.ageS } };
      case 'stale-while-revalidate':
        askBeside(call, present, answer);
        return { kind: 'kept', answer, status: { outcome: 'stale', ttlS: found.lifetimeS - found.ageS } };
      case 'unsatisfiable':
        return unsatisfiable;
      default: {
        if (request.method === 'HEAD') return { kind: 'pass', status: { outcome: 'stale-miss' } };
        const outcome = found.why === 'stale' ? 'stale-miss' : 'request-miss';
        return fetch(call, present, { outcome, kept: answer, alone: alone || found.why !== 'stale' });
      }
    }
  }

  type Wanted = { outcome: CacheOutcome; kept: StoredAnswer | null; alone: boolean };

  /** Asks the origin, or waits for another request that does. */
  async function fetch(call: CacheCall, present: Present, wanted: Wanted): Promise<Served> {
    if (wanted.alone || present.writing) return lead(call, present, wanted, null);
    const key = `${call.primary}|${JSON.stringify(selection(call, wanted.kept))}|${stampOf(present.generations)}`;
    const place = fetches.join(key);
    if (place.kind === 'alone') {
      // To look at such an answer costs more than to ask for it; Varnish calls this a hit-for-miss.
      return wanted.kept === null
        ? { kind: 'pass', status: { outcome: wanted.outcome, detail: 'lately-not-stored' } }
        : lead(call, present, wanted, null);
    }
    if (place.kind === 'lead') {
      try {
        return await lead(call, present, wanted, place.share);
      } catch (error) {
        place.share('failed');
        throw error;
      }
    }
    metrics.waiting(1);
    const shared = await place.answer(call.rules.waitMs).finally(() => metrics.waiting(-1));
    // Where it failed for one it would for all who asked at the time.
    if (shared === 'failed' && wanted.kept !== null && mayServeOnError(call.request, wanted.kept, nowMs())) {
      return { kind: 'kept', answer: wanted.kept, status: { outcome: 'stale-on-error', ttlS: ttlOf(wanted.kept) } };
    }
    if (shared !== null && shared !== 'failed' && selects(shared, call.request) && mayShare(call.request, shared)) {
      return { kind: 'kept', answer: shared, status: { outcome: 'collapsed', ttlS: ttlOf(shared) } };
    }
    return lead(call, present, wanted, null);
  }

  function mayShare(request: CacheRequest, shared: StoredAnswer): boolean {
    const told = parseCacheControl(headerOf(shared.headers, 'cache-control'));
    return request.headers.authorization === undefined || isForEverybody(told);
  }

  const ttlOf = (answer: StoredAnswer): number => {
    const { lifetimeS, ageS } = standingOf(answer, answer.fallback, nowMs());
    return lifetimeS - ageS;
  };

  async function lead(
    call: CacheCall,
    present: Present,
    { outcome, kept }: Wanted,
    share: ((answer: StoredAnswer | 'failed' | null) => void) | null,
    how: 'live' | 'beside' = 'live',
  ): Promise<Served> {
    const conditions = kept === null ? {} : validationHeaders(kept);
    let origin = await call.ask(conditions, how);
    if (origin.kind === 'answer' && origin.head.status === 304 && kept !== null) {
      const head = headOf(origin);
      drop(origin);
      if (isAbout(kept, head) && origin.instance.side === call.side) {
        const answer = freshened(kept, head);
        const keepsIt = notStorable(call.request, answer, call.rules.store) === null;
        if (keepsIt) await keep(call, present, answer);
        share?.(keepsIt && mayBeShared(answer) ? answer : null);
        return { kind: 'kept', answer, status: { outcome: 'revalidated', forwardedStatus: 304, ttlS: ttlOf(answer) } };
      }
      // It tells of another answer than the one that is here.
      origin = await call.ask({}, how);
    }
    const failed =
      origin.kind === 'failed' ? origin.tried.kind !== 'client-aborted' : isOriginError(origin.head.status);
    if (failed) share?.('failed');
    if (failed && kept !== null && mayServeOnError(call.request, kept, nowMs())) {
      if (origin.kind === 'answer') drop(origin);
      const forwardedStatus = origin.kind === 'answer' ? { forwardedStatus: origin.head.status } : {};
      return {
        kind: 'kept',
        answer: kept,
        status: { outcome: 'stale-on-error', ttlS: ttlOf(kept), ...forwardedStatus },
      };
    }
    if (origin.kind === 'failed') {
      share?.(null);
      return { kind: 'failed', tried: origin.tried, status: { outcome } };
    }
    const head = headOf(origin);
    const tooLarge = Number(headerOf(head.headers, 'content-length') ?? 0) > call.rules.maxBodyBytes;
    const fromOther = origin.instance.side !== call.side;
    const why =
      notStorable(call.request, head, call.rules.store) ?? (tooLarge ? 'too-large' : fromOther ? 'fallback' : null);
    const forwardedStatus = head.status;
    if (why !== null) {
      metrics.notStored(call.rules.route, why);
      share?.(null);
      return {
        kind: 'origin',
        origin,
        collected: null,
        status: { outcome, forwardedStatus, detail: `not-stored-${why}` },
      };
    }
    const collected = collect(origin.body, call.rules.maxBodyBytes, (body) => {
      if (body === null) {
        metrics.notStored(call.rules.route, 'too-large');
        share?.(null);
        return;
      }
      const { fallback } = call.rules.store;
      const answer: StoredAnswer = { ...head, body, selectedBy: selectedBy(head, call.request), fallback };
      // Kept first, so that whoever comes when the others have been told finds it.
      void keep(call, present, answer).finally(() => share?.(mayBeShared(answer) ? answer : null));
    });
    return { kind: 'origin', origin, collected, status: { outcome, forwardedStatus, stored: true } };
  }

  /** What must be asked about before each use is nobody else's. */
  function mayBeShared(answer: StoredAnswer): boolean {
    const { alwaysValidate, lifetimeS, ageS } = standingOf(answer, answer.fallback, nowMs());
    return !alwaysValidate && lifetimeS > ageS;
  }

  async function keep(call: CacheCall, { generations, writing }: Present, answer: StoredAnswer): Promise<void> {
    const keepMs = keptForMs(answer, call.rules.keepMs);
    if (writing || keepMs < 1) return;
    metrics.put(call.rules.route, await store.put(call, generations, answer, keepMs));
  }

  function keptForMs(answer: StoredAnswer, mostMs: number): number {
    if (hasValidator(answer)) return mostMs;
    const { lifetimeS, ageS, staleIfErrorS, staleWhileRevalidateS } = standingOf(answer, answer.fallback, nowMs());
    return Math.min(mostMs, 1000 * (lifetimeS - ageS + Math.max(staleIfErrorS, staleWhileRevalidateS)));
  }

  /** Once at a time for what is kept; nobody waits for it, and how it ends is only counted. */
  function askBeside(call: CacheCall, present: Present, kept: StoredAnswer): void {
    const key = `${call.primary}|${JSON.stringify(kept.selectedBy)}|${stampOf(present.generations)}`;
    if (fetches.rests(key)) return;
    const place = fetches.join(key);
    if (place.kind !== 'lead') return;
    lead(call, present, { outcome: 'stale-miss', kept, alone: false }, place.share, 'beside')
      .then(async (served) => {
        if (served.kind === 'origin') {
          if (served.collected === null) drop(served.origin);
          else await served.collected.drain();
        }
        metrics.askedBeside(
          call.rules.route,
          served.kind === 'failed' || served.status.outcome === 'stale-on-error' ? 'failed' : 'answered',
        );
      })
      .catch(() => metrics.askedBeside(call.rules.route, 'failed'))
      .finally(() => place.share('failed'));
  }

  return {
    async serve(call) {
      const served = await serve(call);
      metrics.served(call.rules.route, served.status.outcome);
      return served;
    },
  };
}

const unsatisfiable: Served = { kind: 'unsatisfiable', status: { outcome: 'unsatisfiable' } };

const latest = (one: number | null, other: number | null): number | null =>
  one === null ? other : other === null ? one : Math.max(one, other);

/** What tells two requests for one thing apart, as far as is known before it is asked for. */
const selection = ({ request }: CacheCall, kept: StoredAnswer | null): StoredAnswer['selectedBy'] =>
  kept?.selectedBy ??
  ['accept', 'accept-encoding', 'accept-language'].map((name) => [name, `${request.headers[name] ?? ''}`] as const);

const headOf = ({ head, requestedAtMs, receivedAtMs }: Extract<OriginAnswer, { kind: 'answer' }>) => ({
  status: head.status,
  headers: pairsOf(head.rawHeaders).filter(([name]) => !ofItsConnection.has(name.toLowerCase())),
  requestedAtMs,
  receivedAtMs,
});

const drop = ({ body }: Extract<OriginAnswer, { kind: 'answer' }>): void => void body.resume();

/** How the answer came, and not what it is. */
const ofItsConnection: ReadonlySet<string> = new Set([
  ...['transfer-encoding', 'trailer'],
  // Of the request that it was asked for by, and of no other.
  ...['x-request-id', 'traceparent', 'traceresponse', 'server-timing'],
]);
