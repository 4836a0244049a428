import type { IgnoreRule, SliceCompare } from '../contracts/slice-compare.ts';
import { coversPlace, type JsonPattern, matchesPlace, type Step } from './json-path.ts';
import { parseRulePath, type RulePath } from './rule-path.ts';

/** Which JSON value a place is in: the body, or the payload of an event of this type. */
export type Scope = { in: 'body' } | { in: 'event'; type: string };

/** Where a difference stands. */
export type DifferencePlace =
  | { in: 'status' }
  | { in: 'whole-body' }
  | { in: 'header'; name: string }
  | { in: 'json'; scope: Scope; place: readonly Step[] }
  | { in: 'event'; type: string };

/** A slice file's `compare`, ready to be asked. */
export type CompareRules = {
  /** Lower case. */
  headers: readonly string[];
  toleranceMs: number;
  /** The rule that hides a difference there, as `path` and, where it has one, route; null: none. */
  ignoredBy(place: DifferencePlace): string | null;
  isUnordered(scope: Scope, place: readonly Step[]): boolean;
  /** The member by which elements of the array there are paired; null: by their order. */
  keyOf(scope: Scope, place: readonly Step[]): string | null;
  isIdentity(scope: Scope, place: readonly Step[]): boolean;
  isTime(scope: Scope, place: readonly Step[]): boolean;
  isMoney(scope: Scope, place: readonly Step[]): boolean;
  isRedacted(scope: Scope, place: readonly Step[]): boolean;
  /** Where ids stand that each side makes for itself. */
  identities: readonly { scope: Scope; pattern: JsonPattern }[];
};

type ScopedPattern = { type: string | null; pattern: JsonPattern };

/**
 * Reads a slice file's section once, for many comparisons. Rules that name a route hold only for the `endpoint` given.
 * @throws JsonPathError for a path that the slice file's schema would have refused
 */
export const compileRules = (compare: SliceCompare, endpoint?: string): CompareRules => {
  const ignore = compare.ignore
    .filter(({ route }) => route === null || (endpoint !== undefined && isOfRoute(endpoint, route)))
    .map((rule) => ({ name: nameIgnore(rule), path: parseRulePath(rule.path) }));
  const unordered = scoped(compare.unordered);
  const keyed = Object.entries(compare.keyed).map(([path, member]) => ({ ...scoped([path])[0]!, member }));
  const identities = scoped(compare.identities);
  const times = scoped(compare.times.paths);
  const money = scoped(compare.money);
  const redact = scoped(compare.redact);
  return {
    headers: compare.headers,
    toleranceMs: compare.times.toleranceMs,
    ignoredBy: (place) => ignore.find(({ path }) => hides(path, place))?.name ?? null,
    isUnordered: (scope, place) => named(unordered, scope, place),
    keyOf: (scope, place) => keyed.find((one) => isOf(one, scope) && matchesPlace(one.pattern, place))?.member ?? null,
    isIdentity: (scope, place) => named(identities, scope, place),
    isTime: (scope, place) => named(times, scope, place),
    isMoney: (scope, place) => named(money, scope, place),
    isRedacted: (scope, place) => redact.some((one) => isOf(one, scope) && coversPlace(one.pattern, place)),
    identities: identities.map(({ type, pattern }) => ({
      scope: type === null ? { in: 'body' } : { in: 'event', type },
      pattern,
    })),
  };
};

/** Whether an endpoint, "PUT /a/:id", is one of those that a rule names: "PUT /a/:id", "POST,PUT *". */
const isOfRoute = (endpoint: string, route: string): boolean => {
  const [method = '', path] = endpoint.split(' ');
  const [methods = '', wanted] = route.split(' ');
  return methods.split(',').includes(method) && (wanted === '*' || wanted === path);
};

/** How reports name a rule. */
export const nameIgnore = ({ path, route }: Pick<IgnoreRule, 'path' | 'route'>): string =>
  route === null ? path : `${path} of ${route}`;

const scoped = (paths: readonly string[]): ScopedPattern[] =>
  paths.map((text) => {
    const path = parseRulePath(text);
    if (path.in === 'body') return { type: null, pattern: path.pattern };
    if (path.in === 'event') return { type: path.type, pattern: path.pattern ?? [] };
    throw new TypeError(`expected a path into a body or an event, found "${text}"`);
  });

const isOf = ({ type }: ScopedPattern, scope: Scope): boolean =>
  scope.in === 'body' ? type === null : type === '*' || type === scope.type;

const named = (patterns: readonly ScopedPattern[], scope: Scope, place: readonly Step[]): boolean =>
  patterns.some((one) => isOf(one, scope) && matchesPlace(one.pattern, place));

const hides = (path: RulePath, at: DifferencePlace): boolean => {
  switch (path.in) {
    case 'status':
      return at.in === 'status';
    case 'whole-body':
      return at.in === 'whole-body' || (at.in === 'json' && at.scope.in === 'body');
    case 'header':
      return at.in === 'header' && at.name === path.name;
    case 'body':
      return at.in === 'json' && at.scope.in === 'body' && coversPlace(path.pattern, at.place);
    case 'event': {
      const type = at.in === 'event' ? at.type : at.in === 'json' && at.scope.in === 'event' ? at.scope.type : null;
      if (type === null || (path.type !== '*' && path.type !== type)) return false;
      if (path.pattern === null) return true;
      return at.in === 'json' && coversPlace(path.pattern, at.place);
    }
  }
};
