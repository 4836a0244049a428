import type { ComparedAnswer } from './answer.ts';
import type { JsonPattern, Step } from './json-path.ts';
import type { CompareRules } from './rules.ts';

/** Ids that the two sides made for the same thing, each its own: one of the monolith's to one of the service's. */
export type IdentityMap = {
  /**
   * Learns that both ids name the same thing. false where one of them is known to name another: nothing is learnt then.
   * Past the bound, the oldest pair is forgotten.
   */
  pair(monolith: string | number, service: string | number): boolean;
  /** Whether both are known to name the same thing. */
  paired(monolith: unknown, service: unknown): boolean;
  /** The service's id for one of the monolith's. */
  serviceOf(monolith: string | number): string | number | undefined;
  size(): number;
};

export type IdentityBounds = { maxPairs: number };

/** What is paired in one map is believed for as long as the map lives: one a scenario, or one a live comparison. */
export const createIdentityMap = ({ maxPairs }: IdentityBounds = { maxPairs: 10_000 }): IdentityMap => {
  const toService = new Map<string, string | number>();
  const toMonolith = new Map<string, string | number>();
  return {
    pair(monolith, service) {
      const [ours, theirs] = [String(monolith), String(service)];
      const known = toService.get(ours);
      if (known !== undefined || toMonolith.has(theirs)) return known !== undefined && String(known) === theirs;
      toService.set(ours, service);
      toMonolith.set(theirs, monolith);
      if (toService.size > maxPairs) {
        const [oldest, itsService] = toService.entries().next().value!;
        toService.delete(oldest);
        toMonolith.delete(String(itsService));
      }
      return true;
    },
    paired(monolith, service) {
      if (!isId(monolith) || !isId(service)) return false;
      const known = toService.get(String(monolith));
      return known !== undefined && String(known) === String(service);
    },
    serviceOf: (monolith) => toService.get(String(monolith)),
    size: () => toService.size,
  };
};

/**
 * Learns ids from two answers to a request that made something: at the paths that the rules name, and where the `Location`
 * headers' paths differ in single segments.
 */
export const learnIdentities = (
  monolith: Pick<ComparedAnswer, 'headers' | 'body'>,
  service: Pick<ComparedAnswer, 'headers' | 'body'>,
  rules: CompareRules,
  identities: IdentityMap,
): void => {
  if (monolith.body.kind === 'json' && service.body.kind === 'json') {
    for (const { scope, pattern } of rules.identities) {
      if (scope.in !== 'body') continue;
      learnPairs(valuesAt(pattern, monolith.body.value), valuesAt(pattern, service.body.value), identities);
    }
  }
  const [ours, theirs] = [segmentsOf(monolith.headers), segmentsOf(service.headers)];
  if (ours === null || theirs === null || ours.length !== theirs.length) return;
  const differing = ours.map((_, at) => at).filter((at) => ours[at] !== theirs[at]);
  if (differing.every((at) => looksLikeId(ours[at]!) && looksLikeId(theirs[at]!))) {
    for (const at of differing) identities.pair(ours[at]!, theirs[at]!);
  }
};

/** Whether a value there can be an id: by its member's name, by the rules, or because it is too long to be chance. */
export const mayHoldId = (place: readonly Step[], namedByRules: boolean, value: unknown): boolean => {
  if (namedByRules) return true;
  const name = place.findLast((step) => typeof step === 'string');
  if (name !== undefined && idMember.test(name)) return true;
  return typeof value === 'string' && value.length >= 8 && !/^\d+$/.test(value);
};

/** Equal but for ids of which the map knows that they name the same: `/api/products/7` and `/api/products/9`. */
export const sameButForIds = (monolith: string, service: string, identities: IdentityMap): boolean => {
  if (!/^(\/|https?:\/\/)/.test(monolith)) return false;
  const [ours, theirs] = [monolith.split(urlMarks), service.split(urlMarks)];
  return (
    ours.length === theirs.length &&
    ours.every((part, at) => part === theirs[at] || identities.paired(part, theirs[at]))
  );
};

const idMember = /(^|[_-])([Ii]d|ID)s?$|[a-z0-9]I[dD]s?$|^uuid$/;
const urlMarks = /([/?&=#])/;

const isId = (value: unknown): value is string | number => typeof value === 'string' || typeof value === 'number';

const looksLikeId = (segment: string): boolean => /^\d+$/.test(segment) || (segment.length >= 8 && /\d/.test(segment));

const segmentsOf = (headers: ComparedAnswer['headers']): string[] | null => {
  const location = headers.find(([name]) => name.toLowerCase() === 'location')?.[1];
  return location === undefined ? null : location.replace(/^https?:\/\/[^/]*/, '').split(urlMarks);
};

type Found = { place: string; value: string | number };

/** Ids by where they stand; an element that the other side has too elsewhere is no new id but another order. */
const learnPairs = (ours: readonly Found[], theirs: readonly Found[], identities: IdentityMap): void => {
  const byPlace = new Map(theirs.map(({ place, value }) => [place, value]));
  const oursAll = new Set(ours.map(({ value }) => String(value)));
  const theirsAll = new Set(theirs.map(({ value }) => String(value)));
  if (ours.length !== theirs.length) return;
  for (const { place, value } of ours) {
    const other = byPlace.get(place);
    if (other === undefined || String(other) === String(value)) continue;
    if (!theirsAll.has(String(value)) && !oursAll.has(String(other))) identities.pair(value, other);
  }
};

const valuesAt = (pattern: JsonPattern, root: unknown): Found[] => {
  const found: Found[] = [];
  const visit = (value: unknown, at: number, place: string): void => {
    const step = pattern[at];
    if (step === undefined) {
      if (isId(value)) found.push({ place, value });
      return;
    }
    if (step === 'any-depth') visit(value, at + 1, place);
    if (value === null || typeof value !== 'object') return;
    const members = Array.isArray(value)
      ? value.map((element, index) => [index, element] as const)
      : Object.entries(value);
    for (const [key, member] of members) {
      if (step === 'any-depth') visit(member, at, `${place}/${key}`);
      else if (isStep(step, key)) visit(member, at + 1, `${place}/${key}`);
    }
  };
  visit(root, 0, '');
  return found;
};

const isStep = (step: Exclude<JsonPattern[number], 'any-depth'>, key: string | number): boolean => {
  if (step === 'any-member') return typeof key === 'string';
  if (step === 'any-element') return typeof key === 'number';
  return 'name' in step ? step.name === key : step.index === key;
};
