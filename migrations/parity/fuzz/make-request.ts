import type { ApiOperation } from '../../openapi/operation.ts';
import type { ScenarioStep } from '../scenario.ts';
import type { Memory, Resource, Told } from './memory.ts';
import type { RolePlan, StepPlan, Twist, ValuePlan } from './plan.ts';
import { isIfNoneMatch } from './plan-steps.ts';

/** A step as it is sent: as a scenario has it, and what of it the memory must know. */
export type MadeStep = {
  operation: number;
  step: ScenarioStep;
  ids: readonly Told[];
  query: Readonly<Record<string, Told>>;
};

export type Making = {
  operations: readonly ApiOperation[];
  memory: Memory;
  /** Roles that there are tokens for. */
  roles: readonly string[];
  /** Roles that an operation has refused. */
  refused: ReadonlyMap<number, ReadonlySet<string>>;
};

/** A role that stands for a token that is good for nothing. */
export const badRole = 'bad';
export const badToken = 'not.a.token';

/**
 * Makes requests of a plan: one, or two where it has to read before it writes. What the plan takes from earlier answers and is
 * not there stands for something that does not exist.
 */
export function makeSteps(plan: StepPlan, making: Making): MadeStep[] {
  const operation = making.operations[plan.operation] as ApiOperation;
  const { path, ids } = fillPath(operation.path, plan, making);
  const as = roleOf(plan.role, plan.operation, making);
  const headers: Record<string, string> = {};
  const before: MadeStep[] = [];

  const { target, query } = fillQuery(path, plan, making);
  if (plan.ifMatch === 'current') {
    const read = reading(taggedBy(operation, making.operations), { path, ids, as }, making);
    if (read !== undefined) {
      before.push(read);
      headers['if-match'] = currentTag;
    } else headers['if-match'] = tagOf(making, target, 0) ?? '*';
  } else if (plan.ifMatch !== 'none') {
    const stale = tagOf(making, shownPath(path, making), 1) ?? '"1-00000000000000000000000000000000"';
    headers['if-match'] = { any: '*', garbage: 'x', weak: `W/${stale}`, stale }[plan.ifMatch];
  }
  if (plan.ifNoneMatch !== 'none') {
    const seen = tagOf(making, shownPath(target, making), 0) ?? '"none"';
    headers['if-none-match'] = { any: '*', garbage: 'x', current: seen }[plan.ifNoneMatch];
  }
  for (const [name, value] of Object.entries(plan.headers)) {
    const { left, template } = plannedValue(name, value, making, plan.operation);
    // What no client could put on the wire.
    if (typeof left !== 'object' && /^[\t\x20-\x7e]*$/.test(String(left))) headers[name.toLowerCase()] = template;
  }

  const body = fillBody(plan, operation, making, ids);
  if ('body' in body || 'text' in body) {
    const type = operation.bodies[plan.mediaType]?.mediaType ?? 'text/plain';
    if (type !== 'application/json') headers['content-type'] = type;
  }
  const step: ScenarioStep = {
    method: operation.method,
    path: target,
    headers,
    ...(as === undefined ? {} : { as }),
    ...body,
  };
  return [...before, { operation: plan.operation, step, ids, query }, ...looks(plan, { path, ids, as }, making)];
}

/** Where a step goes, and as whom. */
type Target = { path: string; ids: readonly Told[]; as: string | undefined };

/** Reads what a write concerns: the list that it is in or has added to, or else the thing itself. */
function looks(plan: StepPlan, target: Target, making: Making): MadeStep[] {
  if (!plan.look) return [];
  const { path: template } = making.operations[plan.operation] as ApiOperation;
  let wanted = template.endsWith('}') ? parentOf(template) : template;
  let list = getOf(wanted, making.operations);
  while (list < 0 && wanted !== '') {
    wanted = parentOf(wanted);
    list = getOf(wanted, making.operations);
  }
  const read = reading(list, target, making);
  return read === undefined ? [] : [read];
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

const getOf = (wanted: string, operations: readonly ApiOperation[]): number =>
  operations.findIndex(({ method, path }) => method === 'GET' && path === wanted);

/**
 * What is read for the tag that a write must match: its own path, or the nearest one above it that has tags, for the stock of a
 * product has one and the list of its changes has none.
 */
function taggedBy({ path }: ApiOperation, operations: readonly ApiOperation[]): number {
  for (let above = path; above !== ''; above = parentOf(above)) {
    const found = getOf(above, operations);
    if (found >= 0 && operations[found]?.parameters.some(isIfNoneMatch)) return found;
  }
  return getOf(path, operations);
}

/** A read of the target, or of what is above it, by who may. */
function reading(operation: number, { path, ids, as }: Target, { operations, roles }: Making): MadeStep | undefined {
  const found = operations[operation];
  if (found === undefined) return undefined;
  const segments = found.path.split('/');
  const reader = found.signedIn === 'must' ? (as ?? roles[0]) : undefined;
  const step = {
    method: 'GET',
    path: path.split('/').slice(0, segments.length).join('/'),
    headers: {},
    ...(reader === undefined ? {} : { as: reader }),
  };
  const own = ids.slice(0, segments.filter((segment) => segment.startsWith('{')).length);
  return { operation, step, ids: own, query: {} };
}

/** The tag of the answer just before, whose number is known when it has been sent. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: it is a placeholder of scenarios
export const currentTag = '${before:header etag}';

const literal = (value: unknown): Told => ({ left: value, right: value, template: String(value) });

const newest = <T>(list: readonly T[], pick: number): T | undefined =>
  list.length === 0 ? undefined : list[list.length - 1 - (pick % list.length)];

function fillPath(template: string, plan: StepPlan, { memory }: Making): { path: string; ids: Told[] } {
  const names = [...template.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name as string);
  const ids: Told[] = [];
  // From the end: what is part of something else tells what that is.
  let part: Resource | undefined;
  for (const [fromEnd, name] of names.toReversed().entries()) {
    const collection = template.slice(0, template.indexOf(`/{${name}}`));
    const wanted = plan.path[name] ?? { kind: 'known', pick: 0 };
    if (wanted.kind === 'literal') {
      ids.unshift(literal(wanted.text));
      continue;
    }
    const owner = part?.of[names.length - 1 - fromEnd];
    const found = owner ? undefined : newest(memory.resources(collection), wanted.pick);
    if (!owner) part = found;
    ids.unshift(owner ?? found?.id ?? literal(999_999));
  }
  let path = template;
  for (const [at, name] of names.entries()) path = path.replace(`{${name}}`, (ids[at] as Told).template);
  return { path, ids };
}

/** A path with what the left side knows, which is how the memory names it. */
function shownPath(path: string, { memory, operations }: Making): string {
  const known = new Map<string, unknown>();
  for (const { path: template } of operations) {
    const collection = template.replace(/\/\{[^}]+\}$/, '');
    for (const { id } of memory.resources(collection)) known.set(id.template, id.left);
  }
  return path.replace(/\$\{[^}]+\}/g, (placeholder) => String(known.get(placeholder) ?? placeholder));
}

const tagOf = ({ memory }: Making, path: string, pick: number): string | undefined => {
  const tags = memory.tags(path);
  return tags.length <= pick ? undefined : tags[tags.length - 1 - pick]?.template;
};

function fillQuery(path: string, plan: StepPlan, making: Making): { target: string; query: Record<string, Told> } {
  const { memory } = making;
  let query: Record<string, Told> = {};
  for (const [name, value] of Object.entries(plan.query)) {
    const told = plannedValue(name, value, making, plan.operation);
    if (told.left !== undefined && told.left !== null) query[name] = told;
  }
  const cursor = (making.operations[plan.operation] as ApiOperation).parameters.find(
    ({ in: where, name }) => where === 'query' && /^(cursor|page_?token|after|next)$/i.test(name),
  );
  if (cursor && plan.cursor !== 'none') {
    const page = newest(memory.pages(plan.operation), 0);
    if (plan.cursor === 'garbage' || page === undefined) {
      if (plan.cursor !== 'follow') query[cursor.name] = literal('bm8gY3Vyc29y');
    } else {
      // The same list, for a cursor belongs to one; elsewhere it must be refused.
      if (plan.cursor === 'follow') query = { ...page.query };
      query[cursor.name] = page.cursor;
    }
  }
  const text = Object.entries(query)
    .map(([name, told]) => `${encodeURIComponent(name)}=${queryText(told)}`)
    .join('&');
  return { target: text === '' ? path : `${path}?${text}`, query };
}

/** Values of one side only are put in by the scenario itself, as they are: they are ids, numbers and cursors. */
const queryText = ({ template }: Told): string =>
  /^\$\{\d+:[^}]+\}$/.test(template) ? template : encodeURIComponent(wellFormed(template));

const wellFormed = (text: string): string => text.toWellFormed();

function fillBody(
  { body }: StepPlan,
  _operation: ApiOperation,
  making: Making,
  _ids: readonly Told[],
): { body: unknown } | { text: string } | Record<string, never> {
  if (body.kind === 'none') return {};
  if (body.kind === 'text') return { text: body.text };
  const members = Object.entries(body.members).map(([name, value]) => {
    const told = plannedValue(name, value, making, -1);
    return [name, /^\$\{\d+:[^}]+\}$/.test(told.template) ? told.template : told.left] as const;
  });
  return { body: Object.fromEntries(members) };
}

function plannedValue(name: string, plan: ValuePlan, making: Making, operation: number): Told {
  if (plan.kind === 'literal') return literal(plan.value);
  const found = newest(seen(name, making, operation), plan.pick);
  return found === undefined ? literal(plan.otherwise) : twisted(found, plan.twist);
}

/** What may stand for a name: what was told under it, or is named by it, or is bounded by it. */
function seen(name: string, { memory, operations }: Making, operation: number): readonly Told[] {
  const refers = /^(.+?)_?[iI]ds?$/.exec(name)?.[1];
  if (refers !== undefined) {
    const things = collectionOf(refers, operations) ?? '';
    const found = memory.resources(things).map(({ id }) => id);
    return found.length > 0 ? found : memory.values(name);
  }
  const own = memory.values(name);
  if (own.length > 0) return own;
  const bounded = /^(?:min|max|from|to|since|until)_(.+)$/.exec(name)?.[1];
  if (bounded !== undefined)
    return memory.values(bounded).length > 0 ? memory.values(bounded) : memory.values('average');
  if (collectionOf(name, operations) !== undefined) return memory.values('slug');
  const isSearch = /^(q|query|search|term)$/i.test(name) && operation >= 0;
  const searched = operations[operation]?.path;
  return isSearch ? memory.values('name', searched).map(firstWord) : [];
}

/** A search is for a word of what is there; it is the same on both sides, or the difference is found before. */
function firstWord({ left }: Told): Told {
  return literal(String(left).split(/\s/)[0] ?? '');
}

/** `category` → /api/categories; `parent` → none of its own, so the last collection that has trees. */
function collectionOf(name: string, operations: readonly ApiOperation[]): string | undefined {
  const plurals = [`${name}s`, `${name}es`, name.replace(/y$/, 'ies'), name];
  const collections = operations.map(({ path }) => path.replace(/\/\{[^}]+\}$/, ''));
  const named = collections.find((path) => plurals.includes(path.slice(path.lastIndexOf('/') + 1)));
  if (named !== undefined || name !== 'parent') return named;
  return collections.find((path) =>
    operations.some(
      ({ bodies, path: own }) => own === path && bodies.some(({ schema }) => schema.properties?.parent_id),
    ),
  );
}

function twisted(told: Told, twist: Twist): Told {
  const { left } = told;
  if (twist === 'same') return told;
  if (typeof left === 'number' && (twist === 'more' || twist === 'less')) {
    return Number.isInteger(left) ? literal(left + (twist === 'more' ? 1 : -1)) : told;
  }
  if (typeof left !== 'string') return told;
  if (twist === 'upper') return literal(left.toUpperCase());
  if (twist === 'lower') return literal(left.toLowerCase());
  if (twist === 'prefix') return literal(left.slice(0, 2));
  return told;
}

function roleOf(plan: RolePlan, operation: number, { roles, refused }: Making): string | undefined {
  if (!('pick' in plan)) return plan.kind === 'bad' ? badRole : undefined;
  if (plan.kind === 'named') return roles[plan.pick % Math.max(1, roles.length)];
  const fit = roles.filter((role) => !refused.get(operation)?.has(role));
  return fit[plan.pick % Math.max(1, fit.length)] ?? roles[0];
}
