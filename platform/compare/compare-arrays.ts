import { compareJson, type JsonWalk } from './compare-json.ts';
import { isExactNumber } from './exact-json.ts';
import type { Step } from './json-path.ts';
import { matchMost } from './match-most.ts';
import { isScalar } from './scalars.ts';

/** Above so many elements that only one side has, they are told as one difference of length. */
const mostSingleElements = 20;
/** Elements that are tried against each other where no equal one was found at sight. */
const mostUnmatched = 200;

/** Compares arrays as the rules say of this place: by order, without order, or paired by a member. */
export const compareArrays = (walk: JsonWalk, place: Step[], monolith: unknown[], service: unknown[]): boolean => {
  const key = walk.rules.keyOf(walk.scope, place);
  const unordered = walk.rules.isUnordered(walk.scope, place);
  if (key !== null) return compareKeyed(walk, place, monolith, service, key, unordered);
  return unordered ? compareUnordered(walk, place, monolith, service) : compareOrdered(walk, place, monolith, service);
};

type Likeness = 'equal' | 'equal-but-for-ignored' | 'different';

/** Looks at two elements without telling anything. */
const likeness = (walk: JsonWalk, place: Step[], monolith: unknown, service: unknown): Likeness => {
  let found: Likeness = 'equal';
  const { rules, scope } = walk;
  const quiet: JsonWalk = {
    ...walk,
    quiet: true,
    tell(at) {
      found = rules.ignoredBy({ in: 'json', scope, place: at }) === null ? 'different' : 'equal-but-for-ignored';
      return found !== 'different';
    },
  };
  compareJson(quiet, place, monolith, service);
  return found;
};

const at = <T>(place: Step[], index: number, look: () => T): T => {
  place.push(index);
  const result = look();
  place.pop();
  return result;
};

/**
 * By order. What both begin and end with alike is set aside, so that one element more is one difference; what is left is
 * the same elements in another order, or differs place by place.
 */
const compareOrdered = (walk: JsonWalk, place: Step[], monolith: unknown[], service: unknown[]): boolean => {
  const shorter = Math.min(monolith.length, service.length);
  if (walk.quiet) {
    for (let index = 0; index < shorter; index += 1) {
      if (!at(place, index, () => compareJson(walk, place, monolith[index], service[index]))) return false;
    }
    const [ours, theirs] = [range(shorter, monolith.length), range(shorter, service.length)];
    return tellUnpaired(walk, place, monolith, service, ours, theirs);
  }
  // An element that differs only where rules ignore it is told all the same: what is hidden is counted.
  const alike = (ours: number, theirs: number): boolean =>
    at(place, ours, () => {
      const found = likeness(walk, place, monolith[ours], service[theirs]);
      if (found === 'equal-but-for-ignored') compareJson(walk, place, monolith[ours], service[theirs]);
      return found !== 'different';
    });
  let start = 0;
  while (start < shorter && alike(start, start)) start += 1;
  let end = 0;
  while (end < shorter - start && alike(monolith.length - 1 - end, service.length - 1 - end)) end += 1;
  const ours = monolith.slice(start, monolith.length - end);
  const theirs = service.slice(start, service.length - end);
  if (ours.length === theirs.length && ours.length > 1 && isReordered(ours, theirs)) {
    return walk.tell(place, 'order', ours, theirs);
  }
  const paired = Math.min(ours.length, theirs.length);
  for (let index = 0; index < paired; index += 1) {
    if (!at(place, start + index, () => compareJson(walk, place, ours[index], theirs[index]))) return false;
  }
  return tellUnpaired(
    walk,
    place,
    monolith,
    service,
    range(start + paired, monolith.length - end),
    range(start + paired, service.length - end),
  );
};

/** As sets: what has no equal on the other side is missing or extra; one object left on each side is compared within. */
const compareUnordered = (walk: JsonWalk, place: Step[], monolith: unknown[], service: unknown[]): boolean => {
  const bySight = new Map<string, number[]>();
  service.forEach((element, index) => {
    const text = canonical(element);
    const same = bySight.get(text);
    if (same === undefined) bySight.set(text, [index]);
    else same.push(index);
  });
  const ours: number[] = [];
  const matched = new Set<number>();
  monolith.forEach((element, index) => {
    const match = bySight.get(canonical(element))?.pop();
    if (match === undefined) ours.push(index);
    else matched.add(match);
  });
  const theirs = service.map((_, index) => index).filter((index) => !matched.has(index));
  const { pairs, butForIgnored } = matchLeft(walk, place, monolith, service, ours, theirs);
  for (const [left, right] of pairs) {
    // Told only for what was ignored: what is hidden is counted.
    if (
      butForIgnored.has(pairName(left, right)) &&
      !at(place, left, () => compareJson(walk, place, monolith[left], service[right]))
    )
      return false;
  }
  const oursLeft = ours.filter((index) => !pairs.has(index));
  const paired = new Set(pairs.values());
  const theirsLeft = theirs.filter((index) => !paired.has(index));
  const [left, right] = [oursLeft[0], theirsLeft[0]];
  if (oursLeft.length === 1 && theirsLeft.length === 1 && left !== undefined && right !== undefined) {
    if (!isScalar(monolith[left]) && !isScalar(service[right])) {
      return at(place, left, () => compareJson(walk, place, monolith[left], service[right]));
    }
  }
  return tellUnpaired(walk, place, monolith, service, oursLeft, theirsLeft);
};

const matchLeft = (
  walk: JsonWalk,
  place: Step[],
  monolith: unknown[],
  service: unknown[],
  ours: readonly number[],
  theirs: readonly number[],
): { pairs: Map<number, number>; butForIgnored: Set<string> } => {
  const { triesLeft } = walk;
  const butForIgnored = new Set<string>();
  const tries = ours.length * theirs.length;
  if (ours.length > mostUnmatched || theirs.length > mostUnmatched || tries > triesLeft.count) {
    return { pairs: new Map(), butForIgnored };
  }
  triesLeft.count -= tries;
  const pairs = matchMost(ours, theirs, (left, right) => {
    const found = at(place, left, () => likeness(walk, place, monolith[left], service[right]));
    if (found === 'equal-but-for-ignored') butForIgnored.add(pairName(left, right));
    return found !== 'different';
  });
  return { pairs, butForIgnored };
};

const pairName = (left: number, right: number): string => `${left} ${right}`;

/** Paired by a member's value; what has no such member is paired by order. */
const compareKeyed = (
  walk: JsonWalk,
  place: Step[],
  monolith: unknown[],
  service: unknown[],
  key: string,
  unordered: boolean,
): boolean => {
  const byKey = new Map<string, number[]>();
  service.forEach((element, index) => {
    const text = keyText(element, key);
    const same = byKey.get(text);
    if (same === undefined) byKey.set(text, [index]);
    else same.push(index);
  });
  const take = (text: string): number | undefined => byKey.get(text)?.shift();
  const pairs: [ours: number, theirs: number][] = [];
  const oursLeft: number[] = [];
  monolith.forEach((element, index) => {
    const match = take(keyText(element, key, walk)) ?? take(keyText(element, key));
    if (match === undefined) oursLeft.push(index);
    else pairs.push([index, match]);
  });
  for (const [left, right] of pairs) {
    if (!at(place, left, () => compareJson(walk, place, monolith[left], service[right]))) return false;
  }
  const taken = new Set(pairs.map(([, right]) => right));
  const theirsLeft = service.map((_, index) => index).filter((index) => !taken.has(index));
  if (!tellUnpaired(walk, place, monolith, service, oursLeft, theirsLeft)) return false;
  if (unordered || pairs.every(([, right], index) => index === 0 || pairs[index - 1]![1] < right)) return true;
  const keysOf = (elements: unknown[], indexes: readonly number[]) =>
    indexes.map((index) => (elements[index] as Record<string, unknown> | null)?.[key]);
  const inServiceOrder = pairs.map(([, right]) => right).sort((one, other) => one - other);
  return walk.tell(
    place,
    'order',
    keysOf(
      monolith,
      pairs.map(([left]) => left),
    ),
    keysOf(service, inServiceOrder),
  );
};

/** The value by which an element is paired, as text; with a walk, an id of the monolith's as the service names it. */
const keyText = (element: unknown, key: string, walk?: JsonWalk): string => {
  if (element === null || typeof element !== 'object' || !Object.hasOwn(element, key)) return 'none';
  const value = (element as Record<string, unknown>)[key];
  const mapped =
    typeof value === 'string' || typeof value === 'number' ? walk?.identities?.serviceOf(value) : undefined;
  return `is ${canonical(mapped ?? value)}`;
};

const tellUnpaired = (
  walk: JsonWalk,
  place: Step[],
  monolith: unknown[],
  service: unknown[],
  ours: readonly number[],
  theirs: readonly number[],
): boolean => {
  if (ours.length + theirs.length > mostSingleElements) {
    return walk.tell(place, 'length', `${monolith.length} elements`, `${service.length} elements`);
  }
  return (
    ours.every((index) => at(place, index, () => walk.tell(place, 'missing', monolith[index], undefined))) &&
    theirs.every((index) => at(place, index, () => walk.tell(place, 'extra', undefined, service[index])))
  );
};

const isReordered = (ours: readonly unknown[], theirs: readonly unknown[]): boolean => {
  const sorted = (elements: readonly unknown[]) => elements.map(canonical).sort();
  const [one, other] = [sorted(ours), sorted(theirs)];
  return one.every((text, index) => text === other[index]);
};

/** One text for all values that are equal: members in order of name. */
export const canonical = (value: unknown): string => {
  if (value === null || typeof value !== 'object' || isExactNumber(value)) return JSON.stringify(value) ?? 'absent';
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const members = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`;
};

const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, n) => from + n);
