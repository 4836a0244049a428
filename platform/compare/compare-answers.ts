import type { ComparedAnswer, ComparedBody } from './answer.ts';
import { compareEvents } from './compare-events.ts';
import { compareHeaders } from './compare-headers.ts';
import { compareJson, mostTries } from './compare-json.ts';
import { type IdentityMap, learnIdentities } from './identities.ts';
import { concretePath, templatedPath } from './json-path.ts';
import type { CompareRules, DifferencePlace } from './rules.ts';

export type DifferenceKind =
  | 'status'
  | 'header'
  | 'value'
  | 'type'
  | 'missing'
  | 'extra'
  | 'order'
  | 'length'
  | 'body'
  | 'event';

/** One thing that the service answers otherwise than the monolith, in the monolith's terms: what it has not is `missing`. */
export type Difference = {
  /** As all answers of the route have it: `status`, `header etag`, `$.items[*].price_cents`, `event product.changed $.price`. */
  path: string;
  /** In this answer: `$.items[3].price_cents`. */
  at: string;
  kind: DifferenceKind;
  monolith: unknown;
  service: unknown;
};

export type Comparison = {
  /** At most `mostDifferences`. */
  differences: Difference[];
  /** What rules of the slice file hid, by rule. */
  ignored: { rule: string; count: number }[];
  /** Differences found beyond those. */
  untold: number;
};

/** Differences that one comparison tells; more are counted only. */
export const mostDifferences = 200;

/**
 * Compares two answers to the same request. Ids that both sides made (both answered 201 or 202) are learnt into
 * `identities` first, and an id paired there is no difference wherever it appears. Throws nothing.
 */
export const compareAnswers = (
  monolith: ComparedAnswer,
  service: ComparedAnswer,
  rules: CompareRules,
  identities?: IdentityMap,
): Comparison => {
  if (identities !== undefined && madeSomething(monolith) && madeSomething(service)) {
    learnIdentities(monolith, service, rules, identities);
  }
  const known = identities ?? null;
  const differences: Difference[] = [];
  const hidden = new Map<string, number>();
  let untold = 0;

  const tell = (place: DifferencePlace, kind: DifferenceKind, ours: unknown, theirs: unknown): boolean => {
    const rule = rules.ignoredBy(place);
    if (rule !== null) hidden.set(rule, (hidden.get(rule) ?? 0) + 1);
    else if (differences.length === mostDifferences) untold += 1;
    else differences.push({ ...spell(place), kind, monolith: ours, service: theirs });
    return true;
  };

  if (monolith.status !== service.status) tell({ in: 'status' }, 'status', monolith.status, service.status);
  for (const header of compareHeaders(monolith.headers, service.headers, rules.headers, known)) {
    tell({ in: 'header', name: header.name }, 'header', header.monolith, header.service);
  }
  const triesLeft = { count: mostTries };
  if (monolith.body.kind === 'json' && service.body.kind === 'json') {
    const scope = { in: 'body' } as const;
    compareJson(
      {
        rules,
        scope,
        identities: known,
        quiet: false,
        triesLeft,
        tell: (place, kind, ours, theirs) => tell({ in: 'json', scope, place }, kind, ours, theirs),
      },
      [],
      monolith.body.value,
      service.body.value,
    );
  } else if (!equalBodies(monolith.body, service.body)) {
    tell({ in: 'whole-body' }, 'body', tellBody(monolith.body), tellBody(service.body));
  }
  if (monolith.effects !== null && service.effects !== null) {
    compareEvents(monolith.effects.events, service.effects.events, { rules, identities: known, triesLeft, tell });
  }
  return { differences, ignored: [...hidden].map(([rule, count]) => ({ rule, count })), untold };
};

const madeSomething = ({ status }: ComparedAnswer): boolean => status === 201 || status === 202;

const equalBodies = (monolith: ComparedBody, service: ComparedBody): boolean => {
  if (monolith.kind === 'skipped' && service.kind === 'skipped') return true;
  if (monolith.kind !== service.kind) return false;
  if (monolith.kind === 'text') return monolith.text === (service as typeof monolith).text;
  if (monolith.kind === 'bytes') return monolith.sha256 === (service as typeof monolith).sha256;
  return monolith.kind === 'none';
};

/** A body as a difference shows it: JSON and text as they are. */
const tellBody = (body: ComparedBody): unknown => {
  switch (body.kind) {
    case 'json':
      return body.value;
    case 'text':
      return body.text;
    case 'bytes':
      return `${body.length} bytes, SHA-256 ${body.sha256}`;
    case 'none':
      return 'no body';
    case 'skipped':
      return `not looked at: ${body.why}`;
  }
};

const spell = (place: DifferencePlace): { path: string; at: string } => {
  switch (place.in) {
    case 'status':
      return { path: 'status', at: 'status' };
    case 'whole-body':
      return { path: 'body', at: 'body' };
    case 'header':
      return { path: `header ${place.name}`, at: `header ${place.name}` };
    case 'event':
      return { path: `event ${place.type}`, at: `event ${place.type}` };
    case 'json': {
      const before = place.scope.in === 'event' ? `event ${place.scope.type} ` : '';
      return { path: `${before}${templatedPath(place.place)}`, at: `${before}${concretePath(place.place)}` };
    }
  }
};
