import type { OutgoingHeaders, OutgoingRequest } from '../../accept/outgoing.ts';
import type { AnswerFilter } from '../../forward/answer-filter.ts';
import { policyKind } from '../kind.ts';
import type { InterceptedRequest, Interception, Policy } from '../policy.ts';
import { problemAnswer } from '../problem-answer.ts';
import type { CacheRequest } from './answer.ts';
import { bypassOf, isProven } from './bypass.ts';
import { primaryKey } from './cache-key.ts';
import { type CacheSettings, cacheSettings } from './cache-settings.ts';
import { type CacheStatus, formatCacheStatus } from './cache-status.ts';
import { scopesOfAnswer } from './changes.ts';
import { pairsOf } from './collect.ts';
import { keptAnswer } from './kept-answer.ts';
import { hostOf, longestKeptMs, type RunningCache } from './open-cache.ts';
import type { CacheCall, CacheRules, Served } from './response-cache.ts';
import { clientHasIt, conditionNames, headersOf304 } from './validators.ts';
import { writerOf, wroteAtOf } from './writers.ts';

const goOn: Interception = Object.freeze({ kind: 'forward', filter: null });

/** Answers from the cache, or forwards and keeps what comes. Without Redis it forwards. */
export const cache = policyKind({
  schema: cacheSettings,
  create(name, settings, { cache: open, metrics }): Policy {
    const running = open();
    running?.follow(settings.changes);
    if (running === null) metrics.degraded(name, 'no-redis');
    return {
      name,
      intercept: (intercepted) => (running === null ? goOn : intercept(intercepted, settings, running)),
    };
  },
});

function intercept(
  { request, decision, ask }: InterceptedRequest,
  settings: CacheSettings,
  running: RunningCache,
): Interception | Promise<Interception> {
  const { facts, outgoing, route, identity } = request;
  // Who proved who they are by a key or otherwise counts as one with Authorization.
  const proven = identity.user !== null || identity.key !== null;
  const headers: Record<string, string | string[] | undefined> = { ...facts.headers };
  // As it is sent on: `Vary` speaks of that.
  for (const [key, value] of Object.entries(outgoing.headers)) headers[key.toLowerCase()] = value;
  if (proven || isProven({ method: facts.method, headers })) headers.authorization ??= 'proven';
  const asked: CacheRequest = { method: facts.method, headers };
  const hasBody = outgoing.body.kind !== 'none';
  const why = bypassOf(asked, { hasBody, operator: decision.disclose || facts.forcedSide !== null }, settings);
  if (why !== null) {
    running.metrics.bypassed(route, why);
    return goOn;
  }
  const host = hostOf(facts.headers);
  const { target } = outgoing;
  const { side, slice, epoch } = decision;
  const scheme = `${outgoing.headers['X-Forwarded-Proto'] ?? ''}`;
  const forwardedHost = `${outgoing.headers['X-Forwarded-Host'] ?? ''}`.toLowerCase();
  const call: CacheCall = {
    request: asked,
    rules: rulesOf(route, settings),
    primary: primaryKey({ route, side, slice, epoch, scheme, host, forwardedHost, target, said: outgoing.said }),
    side,
    scopes: scopesOfAnswer(host, target, settings.changes),
    writer: writerOf(facts),
    wroteAtMs: wroteAtOf(facts, Date.now()),
    ask: (conditions, how) =>
      ask({ outgoing: conditioned(outgoing, conditions), compare: Object.keys(conditions).length === 0, how }),
  };
  return running.serve(call).then((served) => interceptionOf(asked, served));
}

function interceptionOf(asked: CacheRequest, served: Served): Interception {
  const { status } = served;
  switch (served.kind) {
    case 'pass':
      return { kind: 'forward', filter: saying(status) };
    case 'kept':
      return { kind: 'answer', ...keptAnswer(asked, served.answer, status, Date.now()) };
    case 'failed':
      return { kind: 'failed', tried: served.tried };
    case 'unsatisfiable':
      return problemAnswer({
        status: 504,
        title: 'Not in the cache',
        detail: 'Only an answer that is kept was wanted, and none is kept that may be given.',
        headers: { 'Cache-Status': formatCacheStatus(status) },
      });
    case 'origin': {
      const { origin, collected } = served;
      const rawHeaders = withStatus(origin.head.rawHeaders, status);
      const settled = origin.over;
      if (clientHasIt(asked, { status: origin.head.status, headers: pairsOf(origin.head.rawHeaders) })) {
        if (collected === null) origin.body.resume();
        else void collected.drain();
        const headers = headersOf304(pairsOf(rawHeaders)).flat();
        return { kind: 'answer', head: { status: 304, rawHeaders: withStatus(headers, status) }, body: null, settled };
      }
      if (bodyless.has(origin.head.status)) {
        if (collected === null) origin.body.resume();
        else void collected.drain();
        return { kind: 'answer', head: { status: origin.head.status, rawHeaders }, body: null, settled };
      }
      const body = collected?.body ?? origin.body;
      return { kind: 'answer', head: { status: origin.head.status, rawHeaders }, body, settled };
    }
  }
}

/** Their answers end with their heads. */
const bodyless: ReadonlySet<number> = new Set([204, 205, 304]);

const saying =
  (status: CacheStatus): AnswerFilter =>
  ({ rawHeaders }) => ({ rawHeaders: withStatus(rawHeaders, status), through: [] });

const withStatus = (rawHeaders: readonly string[], status: CacheStatus): readonly string[] => [
  ...rawHeaders,
  'Cache-Status',
  formatCacheStatus(status),
];

/** The request without the client's own conditions: those are judged by what is kept. */
function conditioned(outgoing: OutgoingRequest, conditions: Readonly<Record<string, string>>): OutgoingRequest {
  const headers: OutgoingHeaders = {};
  for (const [key, value] of Object.entries(outgoing.headers)) {
    if (!clientsOwn.has(key.toLowerCase())) headers[key] = value;
  }
  return { ...outgoing, headers: Object.assign(headers, conditions), filter: null, tap: null };
}

const clientsOwn: ReadonlySet<string> = new Set(conditionNames);

const secondsOf = (ms: number | undefined): number | null => (ms === undefined ? null : ms / 1000);

const rulesOf = (route: string, settings: CacheSettings): CacheRules => ({
  route,
  store: {
    authorized: settings.authorized,
    fallback: {
      freshS: secondsOf(settings.fresh),
      staleWhileRevalidateS: secondsOf(settings.staleWhileRevalidate),
      staleIfErrorS: secondsOf(settings.staleIfError),
    },
  },
  keepMs: Math.min(settings.keep, longestKeptMs),
  maxBodyBytes: settings.maxBody,
  waitMs: settings.wait,
});
