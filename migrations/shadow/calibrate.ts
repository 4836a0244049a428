import { pause } from '@strangler/platform/backoff.ts';
import type { ComparedAnswer } from '@strangler/platform/compare/answer.ts';
import { compareAnswers, type Difference } from '@strangler/platform/compare/compare-answers.ts';
import type { CompareRules } from '@strangler/platform/compare/rules.ts';
import { equalInstants } from '@strangler/platform/compare/scalars.ts';
import type { SentRequest } from '../http/side.ts';
import type { ApiOperation } from '../openapi/operation.ts';
import { createRequestMaker } from './make-requests.ts';

export type CalibrateOptions = {
  /** Asks the monolith; null: no answer. */
  ask(request: SentRequest): Promise<ComparedAnswer | null>;
  rulesOf(endpoint: string): CompareRules;
  authorizations: readonly string[];
  /** Pairs of answers that are wanted of each route. */
  pairs: number;
  /** Between the two answers of a pair at least: what is told to the second differs only then. */
  gapMs: number;
  signal: AbortSignal;
  /** Called after each route. */
  tell(calibrated: CalibratedRoute): void;
};

/** How often answers of the monolith to the same request differed where. */
export type CalibratedRoute = {
  endpoint: string;
  pairs: number;
  paths: CalibratedPath[];
  /** Why it was not asked; null: it was. */
  cannot: string | null;
};

export type CalibratedPath = {
  path: string;
  kinds: Difference['kind'][];
  inPairs: number;
  /** The furthest apart that two instants stood there; null: other things than instants stand there. */
  instantsApartMs: number | null;
};

/** Asks the monolith everything twice and tells what differs between its own answers. */
export const calibrate = async (
  routes: readonly { endpoint: string; operation: ApiOperation }[],
  options: CalibrateOptions,
): Promise<CalibratedRoute[]> => {
  const maker = createRequestMaker(options.ask);
  const calibrated: CalibratedRoute[] = [];
  for (const { endpoint, operation } of routes) {
    if (options.signal.aborted) break;
    const done = await calibrateRoute(endpoint, operation, maker, options);
    options.tell(done);
    calibrated.push(done);
  }
  return calibrated;
};

const calibrateRoute = async (
  endpoint: string,
  operation: ApiOperation,
  maker: ReturnType<typeof createRequestMaker>,
  { ask, rulesOf, authorizations, pairs: wanted, gapMs, signal }: CalibrateOptions,
): Promise<CalibratedRoute> => {
  const accounts = authorizations.map((authorization) => ({ authorization }));
  const who = operation.signedIn === 'must' ? accounts : [{}, ...accounts];
  if (who.length === 0) {
    return { endpoint, pairs: 0, paths: [], cannot: 'it wants somebody who is signed in: give --token' };
  }
  const requests: SentRequest[] = [];
  let cannot: string | null = null;
  for (const headers of who) {
    const cell = { endpoint, access: 'read', statusClass: '2xx', role: 'any' } as const;
    const candidates = await maker.candidates(cell, operation, headers);
    cannot ??= candidates.cannot;
    requests.push(...candidates.requests);
  }
  if (requests.length === 0) return { endpoint, pairs: 0, paths: [], cannot };

  const rules = rulesOf(endpoint);
  const paths = new Map<string, CalibratedPath>();
  let pairs = 0;
  // All first answers, then all second ones: the gap is waited for once a round.
  while (pairs < wanted && !signal.aborted) {
    const round = Array.from(
      { length: Math.min(wanted - pairs, requests.length) },
      (_, at) => requests[(pairs + at) % requests.length]!,
    );
    const first = await askAll(round, ask);
    if ((await pause(gapMs, signal)) === 'aborted') break;
    const second = await askAll(round, ask);
    const before = pairs;
    for (const [at, one] of first.entries()) {
      const other = second[at];
      if (one === null || other === null || other === undefined) continue;
      pairs += 1;
      learn(paths, compareAnswers(one, other, rules).differences);
    }
    if (pairs === before) return { endpoint, pairs, paths: [], cannot: 'the monolith gave no answer' };
  }
  return { endpoint, pairs, paths: [...paths.values()], cannot: null };
};

const askAll = async (requests: readonly SentRequest[], ask: CalibrateOptions['ask']) => {
  const answers: (ComparedAnswer | null)[] = [];
  for (const request of requests) answers.push(await ask(request));
  return answers;
};

const learn = (paths: Map<string, CalibratedPath>, differences: readonly Difference[]): void => {
  const byPath = Map.groupBy(differences, ({ path }) => path);
  for (const [path, found] of byPath) {
    const known = paths.get(path) ?? { path, kinds: [], inPairs: 0, instantsApartMs: 0 };
    known.inPairs += 1;
    known.kinds = [...new Set([...known.kinds, ...found.map(({ kind }) => kind)])];
    for (const { monolith, service } of found) {
      const apartMs = instantsApartMs(monolith, service);
      known.instantsApartMs =
        known.instantsApartMs === null || apartMs === null ? null : Math.max(known.instantsApartMs, apartMs);
    }
    paths.set(path, known);
  }
};

// Only what a request's own time may explain; numbers could be anything.
const farthestMs = 3_600_000;

const instantsApartMs = (one: unknown, other: unknown): number | null => {
  if (typeof one !== 'string' || typeof other !== 'string' || !equalInstants(one, other, farthestMs)) return null;
  let [low, high] = [0, farthestMs];
  // The comparison knows how instants are read; it says yes or no, so the distance is found by halving.
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (equalInstants(one, other, middle)) high = middle;
    else low = middle;
  }
  return high;
};

/** What a slice file would have to say so that none of this counts as a difference: the lines of its `compare`. */
export type ProposedRules = {
  ignore: { path: string; route: string | null; reason: string }[];
  unordered: string[];
  times: { toleranceMs: number; paths: string[] };
};

/** Proposes rules for what differed, each as narrow as it can be: order, then instants, then ignoring. */
export const proposeRules = (routes: readonly CalibratedRoute[]): ProposedRules => {
  const asked = routes.filter(({ pairs }) => pairs > 0);
  const proposed: ProposedRules = { ignore: [], unordered: [], times: { toleranceMs: 0, paths: [] } };
  const byPath = Map.groupBy(
    asked.flatMap((route) => route.paths.map((path) => ({ ...path, route }))),
    ({ path }) => path,
  );
  for (const [path, found] of byPath) {
    const isJson = path.includes('$');
    if (isJson && found.every(({ kinds }) => kinds.every((kind) => kind === 'order'))) {
      proposed.unordered.push(path);
      continue;
    }
    const apartMs = found.map(({ instantsApartMs: apart, kinds }) => (kinds.join() === 'value' ? apart : null));
    if (isJson && apartMs.every((apart) => apart !== null && apart > 0)) {
      proposed.times.paths.push(path);
      proposed.times.toleranceMs = Math.max(proposed.times.toleranceMs, ...apartMs.map((apart) => 2 * (apart ?? 0)));
      continue;
    }
    // What differs on every route is the monolith's way; what differs on some is theirs.
    const everywhere = found.length === asked.length && asked.length > 1;
    const told = (inPairs: number, pairs: number) =>
      `differs in ${inPairs} of ${pairs} pairs of the monolith's own answers`;
    if (everywhere) {
      const inPairs = found.reduce((sum, one) => sum + one.inPairs, 0);
      const pairs = found.reduce((sum, { route }) => sum + route.pairs, 0);
      proposed.ignore.push({ path, route: null, reason: told(inPairs, pairs) });
    } else {
      for (const { route, inPairs } of found) {
        proposed.ignore.push({ path, route: route.endpoint, reason: told(inPairs, route.pairs) });
      }
    }
  }
  return proposed;
};
