import { compareArrays } from './compare-arrays.ts';
import { type IdentityMap, mayHoldId, sameButForIds } from './identities.ts';
import type { Step } from './json-path.ts';
import type { CompareRules, Scope } from './rules.ts';
import { equalDecimals, equalInstants, equalScalars, jsonTypeOf } from './scalars.ts';

export type JsonDifferenceKind = 'value' | 'type' | 'missing' | 'extra' | 'order' | 'length';

/** One walk through two JSON values side by side. */
export type JsonWalk = {
  rules: CompareRules;
  scope: Scope;
  identities: IdentityMap | null;
  /** Told of each difference, ignored ones too; `place` is the walk's own and changes after. false: go no further. */
  tell(place: readonly Step[], kind: JsonDifferenceKind, monolith: unknown, service: unknown): boolean;
  /** Only whether there is a difference is asked, not where it is told best. */
  quiet: boolean;
  /** Elements that may still be tried against each other in arrays without order. */
  triesLeft: { count: number };
};

/** How often elements of arrays without order are tried against each other in one comparison. */
export const mostTries = 20_000;

/** Tells every difference between two JSON values; false when it was told to stop. */
export const compareJson = (walk: JsonWalk, place: Step[], monolith: unknown, service: unknown): boolean => {
  if (monolith === service) return true;
  const [ours, theirs] = [jsonTypeOf(monolith), jsonTypeOf(service)];
  if (ours === 'array' && theirs === 'array') {
    return compareArrays(walk, place, monolith as unknown[], service as unknown[]);
  }
  if (ours === 'object' && theirs === 'object') {
    return compareObjects(walk, place, monolith as Record<string, unknown>, service as Record<string, unknown>);
  }
  if (equalUnderRules(walk, place, monolith, service)) return true;
  return walk.tell(place, ours === theirs ? 'value' : 'type', monolith, service);
};

const compareObjects = (
  walk: JsonWalk,
  place: Step[],
  monolith: Record<string, unknown>,
  service: Record<string, unknown>,
): boolean => {
  for (const name of Object.keys(monolith)) {
    place.push(name);
    const goOn = Object.hasOwn(service, name)
      ? compareJson(walk, place, monolith[name], service[name])
      : walk.tell(place, 'missing', monolith[name], undefined);
    place.pop();
    if (!goOn) return false;
  }
  for (const name of Object.keys(service)) {
    if (Object.hasOwn(monolith, name)) continue;
    place.push(name);
    const goOn = walk.tell(place, 'extra', undefined, service[name]);
    place.pop();
    if (!goOn) return false;
  }
  return true;
};

const equalUnderRules = (
  { rules, scope, identities }: JsonWalk,
  place: readonly Step[],
  monolith: unknown,
  service: unknown,
): boolean => {
  if (equalScalars(monolith, service)) return true;
  if (rules.isMoney(scope, place) && equalDecimals(monolith, service)) return true;
  if (rules.isTime(scope, place) && equalInstants(monolith, service, rules.toleranceMs)) return true;
  if (identities === null || identities.size() === 0) return false;
  if (mayHoldId(place, rules.isIdentity(scope, place), monolith) && identities.paired(monolith, service)) return true;
  return typeof monolith === 'string' && typeof service === 'string' && sameButForIds(monolith, service, identities);
};
